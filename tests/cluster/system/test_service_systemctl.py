"""The driver systemd where no D-Bus answers: all of test_service_systemd.py again, by systemctl."""
import test_service_systemd
from service_machine import main


class ServiceSystemctlTest(test_service_systemd.ServiceSystemdTest):
    """See the top of the file."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.run("systemctl", "stop", "dbus.socket", "dbus.service")

    def test_the_bus_is_away(self):
        self.assertEqual(self.machine.run("systemctl", "is-active", "dbus.service", check=False).strip(), "inactive")
        self.assertNotEqual(self.machine.complete("busctl", "--system", "list", timeout=10).returncode, 0)


if __name__ == "__main__":
    main(ServiceSystemctlTest.INIT)
