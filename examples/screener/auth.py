"""Signing in and out, and the two users that every installation of the example has."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, current_user, login_required, login_user, logout_user  # type: ignore[import-untyped]
from sqlalchemy import select
from werkzeug.security import check_password_hash, generate_password_hash

from .models import User, db, utcnow
from .web import wants_json

USER_EMAIL = "user@example.com"
ADMIN_EMAIL = "admin@example.com"
PASSWORD = "screener"
"""Of both seeded users: this is an example."""

bp = Blueprint("auth", __name__)
login_manager = LoginManager()


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_user(user_id: str) -> User | None:
    return db.session.get(User, int(user_id))


@login_manager.unauthorized_handler  # type: ignore[untyped-decorator]
def ask_to_sign_in() -> ResponseReturnValue:
    if wants_json():
        return {"error": "Please sign in."}, 401
    flash("Please sign in.", "info")
    return redirect(url_for("auth.sign_in"))


_P = ParamSpec("_P")


def admin_required(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, ResponseReturnValue]:
    """Restrict a view to admins; others get 404."""

    @wraps(view)
    def guarded(*args: _P.args, **known: _P.kwargs) -> ResponseReturnValue:
        if not current_user.is_authenticated:
            abort(401)
        if not current_user.is_admin:
            abort(404)
        return view(*args, **known)

    return guarded


@bp.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(url_for("uploads.drafts"))
    return render_template("sign_in.html")


@bp.post("/sign-in")
def check_credentials() -> ResponseReturnValue:
    user = db.session.scalar(select(User).where(User.email == request.form.get("email", "").strip().lower()))
    if user is None or not check_password_hash(user.password_hash, request.form.get("password", "")):
        flash("E-mail or password is wrong.", "error")
        return render_template("sign_in.html"), 401
    user.last_seen = utcnow()
    db.session.commit()
    login_user(user)
    return redirect(url_for("uploads.drafts"))


@bp.post("/sign-out")
@login_required  # type: ignore[untyped-decorator]
def sign_out() -> ResponseReturnValue:
    logout_user()
    return redirect(url_for("auth.sign_in"))


def seed_users(password: str = PASSWORD) -> None:
    """Add the user and the admin, unless they exist."""
    for email, name, is_admin in [(USER_EMAIL, "Uma User", False), (ADMIN_EMAIL, "Ada Admin", True)]:
        if db.session.scalar(select(User).where(User.email == email)) is None:
            password_hash = generate_password_hash(password)
            db.session.add(User(email=email, name=name, is_admin=is_admin, password_hash=password_hash))
    db.session.commit()
