"""TLS contexts of the SIP and HTTP listeners and of the connections that we open (RFC 3261 §26.3)."""

from __future__ import annotations

import ssl

from .settings import Http, Sip


def server_context(settings: Sip | Http) -> ssl.SSLContext | None:
    """For `tls:` listeners, or HTTPS; None: no certificate is set.

    Raises:
        OSError: a file can't be read, is no PEM, or certificate and key don't belong together (ssl.SSLError is one).
    """
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
    except OSError as error:
        names = ", ".join(filter(None, (settings.tls_certificate, settings.tls_key)))
        raise OSError(f"TLS certificate {names}: {error.strerror or error}") from None
    return context


def client_context(settings: Sip) -> ssl.SSLContext:
    """For `sips:` and `transport=tls` targets.

    Raises:
        OSError: ``tls_authorities`` or the certificate can't be read.
    """
    try:
        context = ssl.create_default_context(cafile=settings.tls_authorities or None)
    except OSError as error:
        raise OSError(f"TLS authorities {settings.tls_authorities}: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.tls_certificate:  # peers that ask for one (mutual TLS) get ours
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
    return context
