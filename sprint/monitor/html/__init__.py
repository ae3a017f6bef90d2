"""Pages for a browser: the report, and one run with its transcript.

Each is one file that opens from disk and asks for nothing: no script, no font, no picture from elsewhere, and
a content security policy that would refuse them. What strangers and models wrote is escaped by the templates,
and links only where it is an address of the web.
"""
