"""A made-up inventory of any size, shaped like real ones: what ``manage.py make_inventory`` fills a database with."""
