"""A certificate authority of the test's own, made with openssl."""
import subprocess


class Authority:
    """In folder: NAME.pem and NAME.key of what was issued, and its own certificate as ca.pem."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name, self.ca = folder, name, folder / f"{name}.pem"
        self._openssl("req", "-x509", *self._key(name), "-days", "30", "-subj", f"/CN={name}", "-out", self.ca)

    def issue(self, name, address=None):
        """(certificate, key); with an address, of a server there."""
        request, extra = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extra.write_text(f"subjectAltName=IP:{address}\n" if address else "extendedKeyUsage=clientAuth\n")
        self._openssl("req", *self._key(name), "-subj", f"/CN={name}", "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / f"{self.name}.key", "-CAcreateserial", "-days", "30",
                      "-extfile", extra, "-out", self.folder / f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _key(self, name):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.folder / f"{name}.key"

    @staticmethod
    def _openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
