"""A provider on a real local socket that speaks as much of Google's OAuth 2 and OpenID Connect as a sign-in needs.

It is as hostile as a test wants: its claims, its id token and its very answers can be replaced.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "imagineer.apps.example", "the client's secret"
ISSUER = "https://accounts.google.com"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class FakeGoogle:
    def __init__(self):
        self.person = {}
        self.codes = {}  # code: the authorization request that it answers, taken out when it is redeemed
        self.asked = []  # authorization requests
        self.token_answer = None  # (status, content type, body) instead of the real one
        self.drop_id_token = False
        self.claims_over = {}
        self.is_cancelled = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.serve(self, {})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.serve(self, {name: values[0] for name, values in parse_qs(body.decode()).items()})

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def serve(self, handler, form):
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/authorize":
            handler.send_response(302)
            handler.send_header("Location", self.answer_authorization(query))
            handler.end_headers()
            return
        status, content_type, body = {
            "/token": self.redeem,
            "/userinfo": lambda _: (200, "application/json", json.dumps(self.profile())),
        }[parts.path](form)
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.end_headers()
        handler.wfile.write(body.encode())

    def profile(self) -> dict:
        """The form without an id token, of the old profile address."""
        return {"id": self.person["sub"], "email": self.person["email"], "verified_email": True}

    def answer_authorization(self, query: dict) -> str:
        """Where the person's browser is sent after they have agreed."""
        assert query["client_id"] == CLIENT_ID and query["response_type"] == "code"
        self.asked.append(query)
        if self.is_cancelled:
            answer = {"error": "access_denied", "state": query["state"]}
        else:
            code = secrets.token_urlsafe(8)
            self.codes[code] = query
            answer = {"code": code, "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def redeem(self, form: dict) -> tuple[int, str, str]:
        if self.token_answer:
            return self.token_answer
        asked = self.codes.pop(form.get("code"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        is_right = (
            asked
            and form["grant_type"] == "authorization_code"
            and (form["client_id"], form["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
            and form["redirect_uri"] == asked["redirect_uri"]
            and asked.get("code_challenge_method") == "S256"
            and asked["code_challenge"] == challenge.decode().rstrip("=")
        )
        if not is_right:
            return 400, "application/json", '{"error": "invalid_grant"}'
        answer = {"access_token": "an access token", "token_type": "Bearer", "expires_in": 3599}
        if not self.drop_id_token:
            answer["id_token"] = self.id_token()
        return 200, "application/json", json.dumps(answer)

    def id_token(self) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": CLIENT_ID, "azp": CLIENT_ID, "iat": now, "exp": now + 3600}
        claims |= {"name": "Ada", "email_verified": True} | self.person | self.claims_over
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": "1"})
