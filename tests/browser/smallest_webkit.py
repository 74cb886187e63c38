#!/usr/bin/python3
"""The smallest browser of WebKitGTK that its driver can drive: `smallest_webkit.py FOLDER PROXY`.

It is run by the system's own Python. The library's own MiniBrowser would be driven in private, where the console is
silent; it cannot print unasked, and has bars, so that it is never narrow.
"""

import sys
from pathlib import Path

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2  # noqa: E402

folder, proxy = Path(sys.argv[1]), sys.argv[2]


def printed(*_: object) -> None:
    """Print into the folder what a script asked for; the file is whole once it has its name."""
    printing, settings, draft = WebKit2.PrintOperation.new(view), Gtk.PrintSettings(), folder / "draft"
    settings.set_printer("Print to File")
    settings.set(Gtk.PRINT_SETTINGS_OUTPUT_FILE_FORMAT, "pdf")
    settings.set(Gtk.PRINT_SETTINGS_OUTPUT_URI, draft.as_uri())
    printing.set_print_settings(settings)
    printing.connect("finished", lambda _: draft.rename(folder / "paper.pdf"))
    printing.print_()


def started(_: object, session: WebKit2.AutomationSession) -> None:
    """Give the driver the one page that there is."""
    session.connect("create-web-view", lambda *_: view)


data = WebKit2.WebsiteDataManager(
    base_data_directory=f"{folder}/data", base_cache_directory=f"{folder}/cache"
)
data.set_network_proxy_settings(
    WebKit2.NetworkProxyMode.CUSTOM, WebKit2.NetworkProxySettings.new(proxy, ["127.0.0.1"])
)
context = WebKit2.WebContext.new_with_website_data_manager(data)
context.set_automation_allowed(True)
context.connect("automation-started", started)
manager = WebKit2.UserContentManager()
manager.register_script_message_handler("paper")
manager.connect("script-message-received::paper", printed)
view = WebKit2.WebView(
    web_context=context,
    user_content_manager=manager,
    settings=WebKit2.Settings(enable_write_console_messages_to_stdout=True),
    is_controlled_by_automation=True,
)
window = Gtk.Window(decorated=False)
window.add(view)
window.show_all()
Gtk.main()
