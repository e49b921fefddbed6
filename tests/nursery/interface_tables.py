"""What ``psutil.net_if_addrs`` and ``net_if_stats`` tell on machines of each kind.

A row is name, index, up, flags (Windows has none), and the IPv6 addresses as the system writes
them: with the interface's name as zone on Linux and macOS, without a zone on Windows.
"""

Row = tuple[str, int, bool, str, tuple[str, ...]]

UP = "up,broadcast,running,multicast"

LINUX_LAPTOP: tuple[Row, ...] = (
    ("lo", 1, True, "up,loopback,running", ("::1",)),
    ("enp0s31f6", 2, False, "up,broadcast,multicast", ()),
    ("virbr0", 3, True, UP, ("fe80::5054:ff:fe12:1%virbr0",)),
    (
        "wlp2s0",
        4,
        True,
        UP,
        ("2001:db8:12::5", "2001:db8:12:0:7c1a:22ff:fe01:9", "fe80::8e16:45ff:fe0a:7%wlp2s0"),
    ),
    ("docker0", 5, True, UP, ("fe80::42:9cff:fe5e:2%docker0",)),
    ("br-1f0a77c2d9e1", 6, True, UP, ("fe80::42:c1ff:fe22:3%br-1f0a77c2d9e1",)),
    ("vethd41e1c5", 7, True, UP, ("fe80::a4f0:5bff:fe90:4%vethd41e1c5",)),
    ("tun0", 8, True, "up,pointopoint,running", ("fd42:42::2", "fe80::9d1:7b2c:1:5%tun0")),
)

LINUX_SERVER_DOWN: tuple[Row, ...] = (
    ("lo", 1, True, "up,loopback,running", ("::1",)),
    ("eth0", 2, False, "broadcast,multicast", ("2001:db8::9", "fe80::f816:3eff:fe00:9%eth0")),
)

MACOS_WITH_T2: tuple[Row, ...] = (
    ("lo0", 1, True, "up,loopback,running,multicast", ("::1", "fe80::1%lo0")),
    ("gif0", 2, False, "pointopoint,multicast", ()),
    ("en5", 4, True, UP, ("fe80::aede:48ff:fe00:1122%en5",)),
    ("ap1", 5, True, UP, ("fe80::f0ce:75ff:fe01:1%ap1",)),
    ("en0", 6, True, UP, ("fe80::1c3b:a4d0:77e2:90ab%en0", "2001:db8:7::a1")),
    ("awdl0", 7, True, UP, ("fe80::30d7:d4ff:fe7a:2%awdl0",)),
    ("llw0", 8, True, UP, ("fe80::30d7:d4ff:fe7a:2%llw0",)),
    ("bridge0", 9, True, UP, ()),
    ("utun0", 10, True, "up,pointopoint,running", ("fe80::5d2c:5d1c:5e1b:3%utun0",)),
)

MACOS_OFFLINE: tuple[Row, ...] = tuple(row for row in MACOS_WITH_T2 if row[0] != "en0")

WINDOWS_WITH_HYPER_V: tuple[Row, ...] = (
    ("Loopback Pseudo-Interface 1", 1, True, "", ("::1",)),
    ("Local Area Connection* 1", 5, True, "", ("fe80::2d1f:6a0c:11f3:1",)),
    ("Bluetooth Network Connection", 9, True, "", ("fe80::a0b1:c2d3:e4f5:2",)),
    ("Ethernet", 12, False, "", ("fe80::91c4:77aa:5d0e:3",)),
    ("VMware Network Adapter VMnet8", 15, True, "", ("fe80::4c1e:90ff:fe11:4",)),
    ("VirtualBox Host-Only Network", 16, True, "", ("fe80::85a2:1b:c0de:5",)),
    ("Tailscale", 18, True, "", ("fd7a:115c:a1e0::1", "fe80::bb9c:a5b:7f2e:6")),
    ("Wi-Fi", 21, True, "", ("2001:db8:9::77", "fe80::d9b2:44e1:7c30:7")),
    ("vEthernet (Default Switch)", 38, True, "", ("fe80::5d6a:1fbb:2c90:8",)),
)

WINDOWS_IN_RUSSIAN: tuple[Row, ...] = (
    ("Loopback Pseudo-Interface 1", 1, True, "", ("::1",)),
    ("Подключение по локальной сети* 2", 7, True, "", ("fe80::2d1f:6a0c:11f3:1",)),
    ("Сетевое подключение Bluetooth", 8, True, "", ("fe80::a0b1:c2d3:e4f5:2",)),
    ("Беспроводная сеть", 14, True, "", ("fe80::61f:b3c2:9a01:3",)),
)
