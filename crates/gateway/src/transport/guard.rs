//! Which addresses an untrusted URL may lead to.
//!
//! A URL from a client, a model, a tool or a document is looked up first; the
//! addresses are checked, and the connection goes to one that passed (so a
//! second look-up cannot answer differently: DNS rebinding). Redirects are new
//! URLs and go through here again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;

/// An address range that untrusted URLs may reach all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix = prefix.unwrap_or(most);
        (prefix <= most).then_some(Self { address, prefix })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The rules for untrusted URLs. The default allows https to public addresses.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Ranges that are allowed although they are not public.
    pub allow: Vec<Network>,
    /// Whether plain http is allowed.
    pub allow_http: bool,
}

impl Guard {
    /// Refuses a URL by its form alone: scheme, credentials in it, no host.
    pub fn check_uri(&self, uri: &Uri) -> Result<(), String> {
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.allow_http => {}
            _ => return Err("only https URLs are fetched".to_owned()),
        }
        let Some(authority) = uri.authority() else {
            return Err("the URL has no host".to_owned());
        };
        if authority.as_str().contains('@') {
            return Err("a URL with a user name or password in it is not fetched".to_owned());
        }
        Ok(())
    }

    /// The first address that may be connected to. All of a name's addresses
    /// must pass: a name that leads inside as well as outside is hostile.
    pub fn choose(&self, host: &str, addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
        for address in addresses {
            if !self.allows(address.ip()) {
                return Err(format!(
                    "{host} leads to {}, which is not a public address",
                    address.ip()
                ));
            }
        }
        addresses.first().copied().ok_or_else(|| format!("{host} has no address"))
    }

    fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_public(ip) || self.allow.iter().any(|n| n.contains(ip))
    }
}

/// Whether an address is one of the public internet. Ranges by IANA's
/// special-purpose registries (RFC 6890 and its updates).
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_unspecified()
        || a == 0
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local() // 169.254.0.0/16: clouds' metadata services
        || (a == 100 && (64..128).contains(&b)) // carrier NAT; 100.100.100.200 is a metadata service
        || (a == 192 && b == 0 && c == 0) // IETF protocols; 192.0.0.192 is a metadata service
        || ip.is_documentation()
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || ip.is_multicast()
        || a >= 240)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    // Addresses that carry an IPv4 address lead where that one leads.
    let embedded = match s {
        [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] | [0x2002, hi, lo, ..] => Some((hi, lo)),
        [0, 0, 0, 0, 0, 0, hi, lo] if hi != 0 => Some((hi, lo)),
        _ => None,
    };
    if let Some((hi, lo)) = embedded {
        return is_public_v4(Ipv4Addr::from_bits(u32::from(hi) << 16 | u32::from(lo)));
    }
    // Only 2000::/3 is handed out; of it, documentation, Teredo, ORCHID and
    // benchmarks are not.
    s[0] & 0xe000 == 0x2000
        && !(s[0] == 0x2001 && (s[1] == 0xdb8 || s[1] < 0x200))
        && !(s[0] == 0x3fff && s[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(ip: &str) -> bool {
        let ip: IpAddr = ip.parse().unwrap();
        Guard::default().choose("h", &[SocketAddr::new(ip, 443)]).is_err()
    }

    #[test]
    fn each_special_range_is_refused() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(refused(ip), "{ip}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for ip in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"] {
            assert!(!refused(ip), "{ip}");
        }
    }

    #[test]
    fn a_name_with_one_inner_address_is_refused() {
        let mixed = ["1.1.1.1:443".parse().unwrap(), "10.0.0.1:443".parse().unwrap()];
        assert!(Guard::default().choose("h", &mixed).is_err());
        assert!(Guard::default().choose("h", &[]).is_err());
    }

    #[test]
    fn a_listed_range_is_allowed() {
        let guard = Guard {
            allow: vec![Network::parse("10.0.0.0/8").unwrap(), Network::parse("::1").unwrap()],
            allow_http: false,
        };
        assert!(guard.choose("h", &["10.9.8.7:443".parse().unwrap()]).is_ok());
        assert!(guard.choose("h", &["[::1]:443".parse().unwrap()]).is_ok());
        assert!(guard.choose("h", &["11.0.0.1:443".parse().unwrap()]).is_ok());
        assert!(guard.choose("h", &["192.168.0.1:443".parse().unwrap()]).is_err());
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }

    #[test]
    fn forms_that_are_refused() {
        let guard = Guard::default();
        for uri in ["http://a.com/x", "ftp://a.com", "https://u:p@a.com/", "/relative"] {
            assert!(guard.check_uri(&uri.parse().unwrap()).is_err(), "{uri}");
        }
        assert!(guard.check_uri(&"https://a.com/x".parse().unwrap()).is_ok());
    }
}
