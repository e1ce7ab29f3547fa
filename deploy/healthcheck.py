"""Ask the web server of this container whether it is well; end with an error when it isn't."""

import os
from urllib.request import Request, urlopen

# As the proxy would: another host or plain HTTP is turned away.
host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].lstrip(".").replace("*", "localhost")
headers = {"Host": host, "X-Forwarded-Proto": "https"}
urlopen(Request(f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health/", headers=headers), timeout=5)
