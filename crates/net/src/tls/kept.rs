//! Certificates that many may have and few need at a time: verified once, kept as the bytes that were verified, and made ready to
//! sign when a handshake needs them. What is ready is bounded; who shares it has a share of it.
//!
//! What a file says later changes nothing here: no handshake reads one. Making a key ready takes some ten microseconds, which is
//! less than the signature that follows; the dear part, whether key and certificate fit, was looked at before.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::{Identity, MaterialFault, provider};
use super::der::{self, Validity};

/// Keys that are ready at once: with certificates and RSA keys of 2048 bits some 60 MiB.
const MOST: usize = 8_192;
/// So many keys in use are passed over in search of one that is not.
const PASSED_OVER: usize = 64;

/// The certificates above a leaf, which many leaves have in common.
type Above = [CertificateDer<'static>];

/// A chain and its key, verified, in as few bytes as they have.
pub struct Kept {
    /// The leaf's certificate, then the key.
    bytes: Box<[u8]>,
    leaf: u32,
    form: Form,
    /// The leaf's; none where it cannot be read.
    validity: Option<Validity>,
    used: AtomicBool,
    above: Arc<Above>,
    ready: Mutex<Option<Arc<CertifiedKey>>>,
}

/// How a key is written.
#[derive(Clone, Copy)]
enum Form {
    Pkcs1,
    Sec1,
    Pkcs8,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        write!(f, "Kept({} certificates)", 1 + self.above.len())
    }
}

impl Kept {
    /// From when to when its leaf is good; none where that cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }

    /// Makes it ready to sign.
    fn make(&self) -> Option<Arc<CertifiedKey>> {
        let (leaf, key) = self.bytes.split_at_checked(self.leaf as usize)?;
        let key: PrivateKeyDer<'static> = match self.form {
            Form::Pkcs1 => PrivatePkcs1KeyDer::from(key.to_vec()).into(),
            Form::Sec1 => PrivateSec1KeyDer::from(key.to_vec()).into(),
            Form::Pkcs8 => PrivatePkcs8KeyDer::from(key.to_vec()).into(),
        };
        let key = provider().key_provider.load_private_key(key).ok()?;
        let mut chain = vec![CertificateDer::from(leaf.to_vec())];
        chain.extend(self.above.iter().cloned());
        Some(Arc::new(CertifiedKey::new(chain, key)))
    }

    fn ready(&self) -> MutexGuard<'_, Option<Arc<CertifiedKey>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No longer ready, unless it was used since that was asked last; whether it is not.
    fn rest(&self, at_any_rate: bool) -> bool {
        if self.used.swap(false, Ordering::Relaxed) && !at_any_rate {
            return false;
        }
        *self.ready() = None;
        true
    }
}

/// The keys that are ready, of all zones.
#[derive(Debug)]
pub struct Keys {
    most: usize,
    held: Mutex<Held>,
    above: Mutex<HashMap<u64, Weak<Above>>>,
    /// The pair that was asked for last by its text.
    last: Mutex<Option<Pair>>,
}

/// A certificate and its key as PEM, and both ready to sign.
struct Pair {
    certificate: String,
    key: String,
    ready: Arc<CertifiedKey>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        write!(f, "Pair({} bytes)", self.certificate.len())
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::of(MOST)
    }
}

#[derive(Debug, Default)]
struct Held {
    /// What is ready, by whose it is, in the order in which it came.
    owners: HashMap<u64, VecDeque<Weak<Kept>>>,
    /// Whose turn it is to give one up: an owner stands here once for each that it has.
    turns: VecDeque<u64>,
}

impl Keys {
    fn of(most: usize) -> Self {
        Self {
            most,
            held: Mutex::default(),
            above: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// A pair that many zones have in common, ready to sign. Who asks for the same once more has the same: a zone that is compiled
    /// alone need not verify it anew.
    ///
    /// # Errors
    /// As [`Identity::from_pem`] and [`Identity::signer`].
    pub fn pair(&self, certificate: &str, key: &str) -> Result<Arc<CertifiedKey>, MaterialFault> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*last()
            && known.certificate == certificate
            && known.key == key
        {
            return Ok(known.ready.clone());
        }
        let ready = Identity::from_pem(certificate.as_bytes(), key.as_bytes())?.signer()?;
        *last() = Some(Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            ready: ready.clone(),
        });
        Ok(ready)
    }

    /// Verifies that key and certificate fit, and keeps them. The certificates above are kept once for all that have the same.
    ///
    /// # Errors
    /// [`MaterialFault`] when rustls takes one of them not, or they do not fit.
    pub fn keep(&self, identity: Identity) -> Result<Arc<Kept>, MaterialFault> {
        let (chain, key) = identity.clone().into_parts();
        identity.signer()?;
        let (form, der) = match &key {
            PrivateKeyDer::Pkcs1(key) => (Form::Pkcs1, key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => (Form::Sec1, key.secret_sec1_der()),
            PrivateKeyDer::Pkcs8(key) => (Form::Pkcs8, key.secret_pkcs8_der()),
            _ => return Err(MaterialFault::Key("of a kind that is not known".into())),
        };
        let mut chain = chain.into_iter();
        let first = chain.next();
        let leaf: &[u8] = first.as_deref().unwrap_or_default();
        Ok(Arc::new(Kept {
            leaf: leaf.len() as u32,
            bytes: [leaf, der].concat().into(),
            form,
            validity: der::facts(leaf).map(|facts| facts.validity),
            used: AtomicBool::new(false),
            above: self.shared(chain.collect()),
            ready: Mutex::default(),
        }))
    }

    /// The same certificates that others have above theirs.
    fn shared(&self, above: Vec<CertificateDer<'static>>) -> Arc<Above> {
        let mut hasher = DefaultHasher::new();
        above.iter().for_each(|one| one.as_ref().hash(&mut hasher));
        let mut known = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == known.capacity() {
            known.retain(|_, kept| kept.strong_count() > 0);
        }
        let hash = hasher.finish();
        match known.get(&hash).and_then(Weak::upgrade) {
            Some(same) if *same == *above => same,
            // Two that only look the same each have their own.
            Some(_) => above.into(),
            None => {
                let above: Arc<Above> = above.into();
                known.insert(hash, Arc::downgrade(&above));
                above
            }
        }
    }

    /// Ready to sign; `owner` says whose share it counts in. None only when there is no memory for it.
    pub fn ready(&self, kept: &Arc<Kept>, owner: u64) -> Option<Arc<CertifiedKey>> {
        if let Some(ready) = &*kept.ready() {
            kept.used.store(true, Ordering::Relaxed);
            return Some(ready.clone());
        }
        // Nobody waits for this: who comes meanwhile does the same, and one of them is kept.
        let made = kept.make()?;
        {
            let mut ready = kept.ready();
            if let Some(ready) = &*ready {
                return Some(ready.clone());
            }
            *ready = Some(made.clone());
        }
        let held = self.held.lock();
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        held.put(owner, Arc::downgrade(kept), self.most);
        Some(made)
    }

    /// A resolver that has one certificate, made ready when it is asked for.
    pub fn resolver(self: &Arc<Self>, kept: &Arc<Kept>, owner: u64) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Lazily {
            keys: self.clone(),
            kept: kept.clone(),
            owner,
        })
    }
}

#[derive(Debug)]
struct Lazily {
    keys: Arc<Keys>,
    kept: Arc<Kept>,
    owner: u64,
}

impl ResolvesServerCert for Lazily {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.keys.ready(&self.kept, self.owner)
    }
}

impl Held {
    /// One more that is ready. An owner may have as many as are free for all, and at least one; beyond that its own give way. Where
    /// none is free, whoever has had one for the longest gives one up.
    fn put(&mut self, owner: u64, kept: Weak<Kept>, most: usize) {
        let free = most.saturating_sub(self.turns.len());
        if let Some(own) = self.owners.get_mut(&owner)
            && own.len() >= free.max(1)
        {
            let passed_over = own.len().min(PASSED_OVER);
            for pass in 0..=passed_over {
                let Some(oldest) = own.pop_front() else { break };
                if rested(&oldest, pass == passed_over) {
                    break;
                }
                own.push_back(oldest);
            }
            own.push_back(kept);
            return;
        }
        if free == 0 {
            self.make_room();
        }
        self.owners.entry(owner).or_default().push_back(kept);
        self.turns.push_back(owner);
    }

    fn make_room(&mut self) {
        for pass in 0..=PASSED_OVER {
            let Some(owner) = self.turns.pop_front() else {
                return;
            };
            let Some(own) = self.owners.get_mut(&owner) else {
                return;
            };
            if let Some(oldest) = own.pop_front() {
                if !rested(&oldest, pass == PASSED_OVER) {
                    own.push_back(oldest);
                    self.turns.push_back(owner);
                    continue;
                }
                if own.is_empty() {
                    self.owners.remove(&owner);
                }
            }
            return;
        }
    }
}

/// Whether it is no longer ready, or gone.
fn rested(kept: &Weak<Kept>, at_any_rate: bool) -> bool {
    kept.upgrade().is_none_or(|kept| kept.rest(at_any_rate))
}

#[cfg(test)]
mod tests {
    use super::super::config::self_signed;
    use super::*;

    fn identity(name: &str) -> Identity {
        let (chain, key) = self_signed(vec![name.into()]).unwrap();
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }

    fn kept(keys: &Keys, count: usize) -> Vec<Arc<Kept>> {
        let one = identity("a.test");
        (0..count)
            .map(|_| keys.keep(one.clone()).unwrap())
            .collect()
    }

    fn are_ready(kept: &[Arc<Kept>]) -> usize {
        kept.iter().filter(|one| one.ready().is_some()).count()
    }

    #[test]
    fn what_does_not_fit_is_refused_before_anybody_needs_it() {
        let keys = Keys::default();
        let (chain, _) = self_signed(vec!["a.test".into()]).unwrap();
        let (_, key) = self_signed(vec!["a.test".into()]).unwrap();
        let other = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert!(matches!(keys.keep(other), Err(MaterialFault::Apart)));
    }

    #[test]
    fn it_comes_out_as_it_went_in_and_is_made_ready_once() {
        let (keys, identity) = (Keys::default(), identity("a.test"));
        let kept = keys.keep(identity.clone()).unwrap();
        assert!(kept.ready().is_none(), "nobody has asked yet");
        let ready = keys.ready(&kept, 1).unwrap();
        let eager = identity.signer().unwrap();
        assert_eq!(ready.cert, eager.cert);
        let public = |key: &CertifiedKey| key.key.public_key().map(|key| key.to_vec());
        assert!(public(&ready).is_some() && public(&ready) == public(&eager));
        assert!(Arc::ptr_eq(&ready, &keys.ready(&kept, 1).unwrap()));
        assert!(!format!("{kept:?}").contains("bytes"), "{kept:?}");
    }

    #[test]
    fn what_is_above_is_kept_once_for_all_and_no_longer_than_somebody_has_it() {
        let keys = Keys::default();
        let (above, _) = self_signed(vec!["above.test".into()]).unwrap();
        let below = || {
            let (leaf, key) = self_signed(vec!["a.test".into()]).unwrap();
            let chain = leaf + &above;
            let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes());
            keys.keep(identity.unwrap()).unwrap()
        };
        let (one, other) = (below(), below());
        assert!(Arc::ptr_eq(&one.above, &other.above) && one.above.len() == 1);
        assert_eq!(keys.ready(&one, 1).unwrap().cert.len(), 2);
        drop((one, other));
        assert!(
            keys.above
                .lock()
                .unwrap()
                .values()
                .all(|kept| kept.strong_count() == 0)
        );
        for nth in 0..100 {
            drop(keys.keep(identity(&format!("{nth}.test"))));
        }
        assert!(keys.above.lock().unwrap().len() < 30);
    }

    #[test]
    fn so_many_are_ready_and_those_in_use_stay() {
        let keys = Keys::of(8);
        let all = kept(&keys, 20);
        for (owner, one) in all.iter().enumerate() {
            keys.ready(one, owner as u64).unwrap();
            // The first one is in use all the time.
            keys.ready(&all[0], 0).unwrap();
            assert!(all[0].ready().is_some());
        }
        assert_eq!(are_ready(&all), 8);
        let first = keys.ready(&all[0], 0).unwrap();
        keys.ready(&all[1], 1).unwrap();
        assert!(Arc::ptr_eq(&first, &keys.ready(&all[0], 0).unwrap()));
    }

    #[test]
    fn an_owner_of_many_leaves_room_for_others() {
        let keys = Keys::of(16);
        let (many, few) = (kept(&keys, 100), kept(&keys, 4));
        for one in &many {
            keys.ready(one, 1).unwrap();
        }
        assert_eq!(are_ready(&many), 8, "half of all");
        for (owner, one) in few.iter().enumerate() {
            keys.ready(one, 2 + owner as u64).unwrap();
        }
        for one in &many {
            keys.ready(one, 1).unwrap();
        }
        assert_eq!(are_ready(&few), 4);
        assert!(are_ready(&many) <= 8);
        drop(many);
        for (owner, one) in kept(&keys, 40).iter().enumerate() {
            keys.ready(one, 100 + owner as u64).unwrap();
        }
        let held = keys.held.lock().unwrap();
        assert_eq!(held.turns.len(), 16);
        let lengths = held.owners.values().map(VecDeque::len);
        assert_eq!(lengths.sum::<usize>(), 16);
    }
}
