"""Pages for a browser: the report, all runs, and one run with its transcript.

Each is one file that opens from disk and asks for nothing: no font, no picture, no script from elsewhere, and
a content security policy that would refuse them. The list of all runs alone has a script, which the policy
names by its hash. What strangers and models wrote is escaped by the templates, or set as text, and links only
where it is an address of the web.
"""
