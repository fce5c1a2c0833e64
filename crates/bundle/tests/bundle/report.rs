//! Reports: a location speaks for itself, once, and in order.

use seawall_bundle::{
    Limits, Refused, Report, ReportHead, SCHEMA, SigningKey, open_report, report_signer,
    sign_report,
};

fn report(location: &str, number: u64) -> Report {
    Report {
        head: ReportHead {
            schema: SCHEMA,
            location: location.into(),
            number,
            epoch: 1,
            generation: 12,
            at: 0,
        },
        body: b"any bytes\n\n\xff".to_vec(),
    }
}

#[test]
fn a_location_speaks_for_itself_and_in_order() {
    let limits = Limits::default();
    let (lhr, fra) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let signed = sign_report(&report("lhr", 7), &lhr, &limits).unwrap();
    assert_eq!(
        report_signer(&signed, &limits),
        Ok(lhr.public().fingerprint())
    );
    let opened = open_report(&signed, "lhr", &lhr.public(), 6, &limits).unwrap();
    assert_eq!(*opened, report("lhr", 7));
    assert_eq!(
        open_report(&signed, "lhr", &lhr.public(), 7, &limits),
        Err(Refused::OldReport { number: 7, seen: 7 })
    );
    assert!(matches!(
        open_report(&signed, "lhr", &fra.public(), 0, &limits),
        Err(Refused::UnknownKey { .. })
    ));
    // A thief of one location's key speaks for no other.
    let lie = sign_report(&report("lhr", 8), &fra, &limits).unwrap();
    assert_eq!(
        open_report(&lie, "fra", &fra.public(), 0, &limits),
        Err(Refused::WrongLocation {
            claimed: "lhr".into(),
            signer: "fra".into()
        })
    );
    let mut large = report("lhr", 9);
    large.body = vec![0; limits.report_bytes];
    assert!(matches!(
        sign_report(&large, &lhr, &limits),
        Err(Refused::TooLarge { .. })
    ));
}
