#!/usr/bin/env python3
"""A user's mail program, seeded: python3 mailbox.py PORT SEED CONNECTIONS

Each connection does STARTTLS, logs in and reads, files, searches or stores mail, with pauses between.
"""

import imaplib
import random
import ssl
import sys
import time

port, seed, connections = (int(word) for word in sys.argv[1:4])
draw = random.Random(seed)
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def mail():
    size = int(min(200_000, draw.lognormvariate(8, 1.2)))
    body = "".join(draw.choice("abcdefghij klmnop\r\n") for _ in range(size))
    return f"From: a@example.net\r\nTo: b@example.net\r\nSubject: {draw.random()}\r\n\r\n{body}".encode()


def pause(median):
    time.sleep(min(1.0, median * draw.lognormvariate(0, 0.8)))


for number in range(connections):
    box = imaplib.IMAP4("127.0.0.1", port)
    box.starttls(context)
    box.login(f"user{draw.randrange(4)}", "secret")
    box.select("INBOX")
    for _ in range(draw.randrange(1, 7)):
        what = draw.random()
        if what < 0.3:
            box.append("INBOX", None, None, mail())
        elif what < 0.6:
            found = box.search(None, "ALL")[1][0].split()
            if found:
                box.fetch(draw.choice(found), "(RFC822)")
        elif what < 0.75:
            box.noop()
        elif what < 0.9:
            if box.status("INBOX", "(MESSAGES)")[1][0].split()[-1] != b"0)":
                box.fetch("1:*", "(FLAGS ENVELOPE)")
        else:
            box.list()
        pause(0.05)
    box.logout()
    pause(0.1)
