//! Audit messages from XML: written, they are XML for every reader, and are read as the same.
#![no_main]

use causeway::wire::audit::{AuditMessage, SyslogHeader, SyslogSeverity, syslog_frame, syslog_message};
use causeway_fuzz::with_written;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = AuditMessage::from_xml(bytes) else { return };
    let xml = message.to_xml();
    with_written(xml.clone(), |document| assert_eq!(document.root().local(), "AuditMessage"));
    assert!(!xml.contains(&b'\n'), "a record is one line");
    // Once: characters that XML cannot carry are replaced, and the time is cut to milliseconds.
    let once = AuditMessage::from_xml(&xml).expect("what we write is an audit message");
    assert_eq!(once.participants.len(), message.participants.len());
    assert_eq!(once.objects.len(), message.objects.len());
    assert!(once.to_xml() == xml);
    assert!(AuditMessage::from_xml(&once.to_xml()).is_ok_and(|twice| twice == once));

    let names = &message.participants[0];
    let header = SyslogHeader {
        severity: SyslogSeverity::Notice,
        timestamp: message.event.date_time,
        hostname: &names.user_id,
        app_name: names.user_name.as_deref().unwrap_or_default(),
        process_id: 7,
        byte_order_mark: false,
    };
    let line = syslog_message(&header, &xml);
    let frame = syslog_frame(&line);
    let at = frame.iter().position(|b| *b == b' ').expect("LEN SP MSG");
    let length: usize = std::str::from_utf8(&frame[..at]).expect("digits").parse().expect("a length");
    assert!(length == line.len() && frame[at + 1..] == line);
    // PRI VERSION, TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID, SD, MSG
    let fields: Vec<_> = line.splitn(8, |b| *b == b' ').collect();
    assert!(
        fields.len() == 8
            && fields[..7].iter().all(|field| !field.is_empty() && field.iter().all(u8::is_ascii_graphic))
    );
    assert!(fields[7] == xml);
});
