"""What the loop decides: what is believed, what is asked, what counts as settled, and what people look at.

Arrays and small dataclasses in and out. The web app's jobs call this on rows of its tables, the simulation on arrays;
neither decides anything itself.
"""
