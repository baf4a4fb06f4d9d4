# SPDX-License-Identifier: Apache-2.0
"""Answers, and who may have them: the fake registry's challenges, credentials and tokens."""
import base64
import binascii
import json
import re
import secrets
import threading
import time
import urllib.parse


class Answer:
    """Status, headers in order (a name may come twice), body. Content-Length is there unless dropped."""

    def __init__(self, status, headers=(), body=b""):
        self.status, self.headers, self.body = status, list(headers), body
        self.set("Content-Length", str(len(body)))

    def has(self, name):
        return any(known.lower() == name.lower() for known, _ in self.headers)

    def drop(self, name):
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()]

    def set(self, name, value):
        """value: text, or a list for several headers of one name."""
        self.drop(name)
        self.headers += [(name, str(item)) for item in (value if isinstance(value, list) else [value])]


def json_answer(status, value, headers=()):
    return Answer(status, [("Content-Type", "application/json"), *headers], json.dumps(value).encode())


def error_answer(status, code, message, headers=()):
    """In the distribution specification's form."""
    return json_answer(status, {"errors": [{"code": code, "message": message, "detail": None}]}, headers)


def basic_credentials(header):
    """(user, password) of an Authorization header, or None."""
    scheme, _, rest = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, word = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, word) if colon else None


KEYS = {"scheme", "users", "realm", "service", "anonymous", "tokens", "expires_in", "refresh_tokens", "post_status",
        "refusal_status", "denied"}


class Auth:
    """See "Authentication" in registry.py."""

    def __init__(self):
        self.lock = threading.Lock()
        self.entries, self.issued, self.refused = [], {}, 0

    def configure(self, table):
        entries = []
        for pattern, settings in table.items():
            unknown = set(settings) - KEYS
            if unknown or settings.get("scheme") not in ("basic", "bearer"):
                raise ValueError(f"{pattern}: scheme is basic or bearer; unknown keys {sorted(unknown)}")
            entries.append((re.compile(pattern), settings))
        with self.lock:
            self.entries = entries

    def revoke(self):
        with self.lock:
            self.issued, self.refused = {}, 0

    def counts(self):
        with self.lock:
            return {"issued": len(self.issued), "refused": self.refused,
                    "tokens": [{"token": token, **facts} for token, facts in self.issued.items()]}

    def _settings(self, repo):
        with self.lock:
            return next((settings for pattern, settings in self.entries if pattern.fullmatch(repo)), None)

    def refusal(self, request, repo, action):
        """The answer that refuses action "pull" or "push" to the request, or None when it may."""
        settings = self._settings(repo)
        if settings is None:
            return None
        basic = settings["scheme"] == "basic"
        user = self._basic_user(request, settings) if basic else self._token_user(request, settings, repo, action)
        if user is not None and user in settings.get("denied", ()):
            return error_answer(403, "DENIED", "requested access to the resource is denied")
        if user is not None:
            return None
        challenge = 'Basic realm="fake registry"' if basic else self._bearer(request, settings, repo, action)
        return error_answer(401, "UNAUTHORIZED", "authentication required", [("WWW-Authenticate", challenge)])

    @staticmethod
    def _bearer(request, settings, repo, action):
        realm = settings.get("realm") or f"{request.scheme}://{request.host}/token"
        text = f'Bearer realm="{realm}",service="{settings.get("service", "fake")}"'
        return text + (f',scope="repository:{repo}:{"pull" if action == "pull" else "pull,push"}"' if repo else "")

    @staticmethod
    def _basic_user(request, settings):
        found = basic_credentials(request.header("Authorization"))
        return found[0] if found and settings.get("users", {}).get(found[0]) == found[1] else None

    def _token_user(self, request, settings, repo, action):
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if token in settings.get("tokens", ()):
            return ""
        with self.lock:
            facts = self.issued.get(token)
        if facts is None or time.monotonic() > facts["ends"]:
            return None
        wanted = any(name == repo and action in actions.split(",")
                     for name, actions in (scope.split(":")[1:3] for scope in facts["scopes"]))
        return facts["user"] if wanted or not repo else None

    def token(self, request):
        """The token endpoint: GET with or without Basic, POST with a refresh token or a password."""
        form = urllib.parse.parse_qs(request.body.decode() if request.method == "POST" else request.query)
        scopes = " ".join(form.get("scope", [])).split()
        if any(scope.count(":") != 2 for scope in scopes):
            return error_answer(400, "UNSUPPORTED", "a scope is type:name:actions")
        settings = self._settings(scopes[0].split(":")[1]) if scopes else self._any_bearer()
        if settings is None or settings["scheme"] != "bearer":
            return error_answer(404, "NAME_UNKNOWN", "no such scope")
        if request.method == "POST" and "post_status" in settings:
            return error_answer(settings["post_status"], "UNSUPPORTED", "no oauth2 here")
        user = self._applicant(request, form, settings)
        if user is None:
            with self.lock:
                self.refused += 1
            return error_answer(settings.get("refusal_status", 401), "UNAUTHORIZED", "incorrect credentials")
        return self._issue(request, settings, scopes, user)

    def _any_bearer(self):
        with self.lock:
            return next((settings for _, settings in self.entries if settings["scheme"] == "bearer"), None)

    def _applicant(self, request, form, settings):
        """The user's name, "" for nobody in particular, None for a refusal."""
        if request.method == "POST" and form.get("grant_type") == ["refresh_token"]:
            return settings.get("refresh_tokens", {}).get(form.get("refresh_token", [""])[0])
        if request.method == "POST":
            user, word = (form.get(name, [""])[0] for name in ("username", "password"))
            return user if settings.get("users", {}).get(user) == word else None
        if request.header("Authorization") is None:
            return "" if settings.get("anonymous") else None
        return self._basic_user(request, settings)

    def _issue(self, request, settings, scopes, user):
        if user == "":  # nobody in particular may pull
            scopes = [":".join([*scope.split(":")[:2], "pull"]) for scope in scopes]
        token, seconds = secrets.token_urlsafe(24), settings.get("expires_in", 300)
        with self.lock:
            self.issued[token] = {"user": user, "scopes": scopes, "ends": time.monotonic() + (seconds or 60)}
        field = "access_token" if request.method == "POST" else "token"
        answer = {field: token, "scope": " ".join(scopes)}
        if seconds is not None:
            answer["expires_in"] = seconds
        return json_answer(200, answer)
