//! The one large sample: a letter as a hospital scanner would have made it, 5 MiB of TIFF.
//!
//! Made when it is needed rather than stored, so that the program need not carry it. The bytes are
//! the same on every call, on every machine: integer arithmetic only, noise from a fixed seed. The
//! image is an uncompressed 8-bit grey A4 page at 232 dots an inch, in strips, little-endian, as
//! TIFF 6.0 section 4 (grayscale images) asks. The person in the letter is invented.

/// Dots across the page.
const WIDTH: usize = 1924;
/// Lines down the page.
const HEIGHT: usize = 2725;
/// Lines in one strip; the last strip holds what is left.
const ROWS_PER_STRIP: usize = 64;
/// Dots an inch that make the page A4.
const RESOLUTION: u32 = 232;
/// Side of one font cell in dots.
const SCALE: usize = 4;
/// Left margin of the text.
const MARGIN: usize = 180;
/// Distance from one text line to the next.
const LINE_HEIGHT: usize = 56;

/// Grey of the paper, of the ink, and of the fold across the middle.
const PAPER: u8 = 243;
const INK: u8 = 34;
const FOLD: u8 = 214;

/// The letter, a line at a time.
const LETTER: &[&str] = &[
    "Royal Free London NHS Foundation Trust",
    "Royal Free Hospital, vascular access clinic",
    "Telephone 020 7946 0008",
    "",
    "5 May 2025",
    "",
    "Patient: Mrs Ottoline Riversedge",
    "NHS number: 999 001 0277    Born: 31 December 1956",
    "Local number: 6503721 (RAL)",
    "",
    "Dear Dr Whitlow,",
    "",
    "DIAGNOSIS",
    "End-stage kidney disease, on haemodialysis by a tunnelled",
    "line. For arteriovenous fistula.",
    "",
    "ALLERGY: HEPARIN (heparin-induced thrombocytopenia, 2021).",
    "",
    "I reviewed Mrs Riversedge with the access nurse. The line",
    "of January works well at 320 mL/min and the exit site is",
    "clean. She is right-handed and has had no cannula in the",
    "left forearm this year.",
    "",
    "Duplex today: left cephalic vein at the wrist 2.6 mm, at",
    "mid forearm 3.1 mm, continuous to the elbow. Radial artery",
    "2.4 mm, triphasic. Allen's test normal. Central veins open",
    "on the venogram of April.",
    "",
    "PLAN",
    "1. Left radiocephalic fistula under regional block, day",
    "   surgery, 3 June. Saline and citrate only: NO HEPARIN.",
    "2. Dialysis the day before at Hammersmith, please.",
    "3. No blood tests or cannulae in the left arm.",
    "4. Aspirin 75 mg may continue.",
    "5. Scan of the fistula at four and eight weeks; first",
    "   needling not before ten weeks.",
    "",
    "She understands that one fistula in five needs a second",
    "procedure before it can be used, and has signed consent.",
    "",
    "Yours sincerely,",
    "Mr Gervase Northcote, Consultant",
    "",
    "Sample document about an invented person. Not a real record.",
];

/// Glyphs of five dots by nine lines, one base-32 digit a line; missing lines are empty.
const fn glyph(character: u8) -> &'static [u8] {
    match character {
        b'A' => b"ehhvhhh",
        b'B' => b"uhhuhhu",
        b'C' => b"ehggghe",
        b'D' => b"uhhhhhu",
        b'E' => b"vgguggv",
        b'F' => b"vgguggg",
        b'G' => b"ehgnhhf",
        b'H' => b"hhhvhhh",
        b'I' => b"e44444e",
        b'J' => b"72222ic",
        b'K' => b"hikokih",
        b'L' => b"ggggggv",
        b'M' => b"hrllhhh",
        b'N' => b"hppljjh",
        b'O' => b"ehhhhhe",
        b'P' => b"uhhuggg",
        b'Q' => b"ehhhlid",
        b'R' => b"uhhukih",
        b'S' => b"fgge11u",
        b'T' => b"v444444",
        b'U' => b"hhhhhhe",
        b'V' => b"hhhhha4",
        b'W' => b"hhhllla",
        b'X' => b"hha4ahh",
        b'Y' => b"hha4444",
        b'Z' => b"v1248gv",
        b'0' => b"ehjlphe",
        b'1' => b"4c4444e",
        b'2' => b"eh1248v",
        b'3' => b"v2421he",
        b'4' => b"26aiv22",
        b'5' => b"vgu11he",
        b'6' => b"68guhhe",
        b'7' => b"v124888",
        b'8' => b"ehhehhe",
        b'9' => b"ehhf12c",
        b'a' => b"00e1fhf",
        b'b' => b"ggmphhu",
        b'c' => b"00egghe",
        b'd' => b"11djhhf",
        b'e' => b"00ehvge",
        b'f' => b"69s8888",
        b'g' => b"00fhhhf1e",
        b'h' => b"ggmphhh",
        b'i' => b"40c444e",
        b'j' => b"2062222ic",
        b'k' => b"ggikoki",
        b'l' => b"c44444e",
        b'm' => b"00qllll",
        b'n' => b"00mphhh",
        b'o' => b"00ehhhe",
        b'p' => b"00uhhhugg",
        b'q' => b"00fhhhf11",
        b'r' => b"00mpggg",
        b's' => b"00fge1u",
        b't' => b"88s8896",
        b'u' => b"00hhhjd",
        b'v' => b"00hhha4",
        b'w' => b"00hhlla",
        b'x' => b"00ha4ah",
        b'y' => b"00hhhhf1e",
        b'z' => b"00v248v",
        b'.' => b"00000cc",
        b',' => b"00000cc48",
        b':' => b"0cc00cc",
        b';' => b"0cc00cc48",
        b'-' => b"000v000",
        b'/' => b"01248g0",
        b'(' => b"2488842",
        b')' => b"8422248",
        b'\'' => b"4480000",
        _ => b"",
    }
}

/// The sample letter as a TIFF of about 5 MiB (TIFF 6.0, section 4).
#[must_use]
pub fn five_megabyte_scan() -> Vec<u8> {
    let mut page = vec![PAPER; WIDTH * HEIGHT];
    if let Some(fold) = page.chunks_exact_mut(WIDTH).nth(HEIGHT / 2) {
        fold.fill(FOLD);
    }
    for (number, line) in LETTER.iter().enumerate() {
        // A sheet never lies quite straight on the glass: each line a little further right.
        draw(&mut page, MARGIN + number / 6, MARGIN + number * LINE_HEIGHT, line);
    }
    grain(&mut page);
    tiff(&page)
}

/// Draws a line of text; what lies off the page is left out.
fn draw(page: &mut [u8], left: usize, top: usize, line: &str) {
    for (column, character) in line.bytes().enumerate() {
        for (row, digit) in glyph(character).iter().enumerate() {
            let bits = char::from(*digit).to_digit(32).unwrap_or(0);
            for dot in (0..5).filter(|dot| bits & (16 >> dot) != 0) {
                let x = left + (column * 6 + dot) * SCALE;
                for y in (top + row * SCALE..).take(SCALE) {
                    let start = y * WIDTH + x;
                    if x + SCALE <= WIDTH
                        && let Some(ink) = page.get_mut(start..start + SCALE)
                    {
                        ink.fill(INK);
                    }
                }
            }
        }
    }
}

/// Sensor noise of a few grey levels, the same on every run.
fn grain(page: &mut [u8]) {
    let mut state: u32 = 2_463_534_242;
    for pixel in page {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = u8::try_from(state >> 29).unwrap_or(0);
        *pixel = pixel.saturating_add(noise).saturating_sub(3);
    }
}

/// Kinds of TIFF field used here (TIFF 6.0, section 2).
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;

/// Wraps the page: header, one directory, its long values, then the strips.
fn tiff(page: &[u8]) -> Vec<u8> {
    const FIELDS: usize = 12;
    const DIRECTORY: usize = 8;
    const RESOLUTION_AT: usize = DIRECTORY + 2 + FIELDS * 12 + 4;
    const OFFSETS_AT: usize = RESOLUTION_AT + 8;
    const STRIPS: usize = HEIGHT.div_ceil(ROWS_PER_STRIP);
    const COUNTS_AT: usize = OFFSETS_AT + 4 * STRIPS;
    const PAGE_AT: usize = COUNTS_AT + 4 * STRIPS;
    let fields: [(u16, u16, usize, usize); FIELDS] = [
        (256, LONG, 1, WIDTH),
        (257, LONG, 1, HEIGHT),
        (258, SHORT, 1, 8),              // bits per sample
        (259, SHORT, 1, 1),              // not compressed
        (262, SHORT, 1, 1),              // zero is black
        (273, LONG, STRIPS, OFFSETS_AT), // where each strip begins
        (277, SHORT, 1, 1),              // samples per pixel
        (278, LONG, 1, ROWS_PER_STRIP),
        (279, LONG, STRIPS, COUNTS_AT), // bytes in each strip
        (282, RATIONAL, 1, RESOLUTION_AT),
        (283, RATIONAL, 1, RESOLUTION_AT),
        (296, SHORT, 1, 2), // resolution is by the inch
    ];
    let mut out = Vec::with_capacity(PAGE_AT + page.len());
    out.extend_from_slice(b"II*\0");
    long(&mut out, DIRECTORY);
    short(&mut out, FIELDS);
    for (tag, kind, count, value) in fields {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        long(&mut out, count);
        // A short value fills the low half; little-endian, so writing it long puts it there.
        long(&mut out, value);
    }
    long(&mut out, 0); // no further directory
    out.extend_from_slice(&RESOLUTION.to_le_bytes());
    long(&mut out, 1);
    let strip = ROWS_PER_STRIP * WIDTH;
    for number in 0..STRIPS {
        long(&mut out, PAGE_AT + number * strip);
    }
    for part in page.chunks(strip) {
        long(&mut out, part.len());
    }
    out.extend_from_slice(page);
    out
}

/// A 16-bit number, little-endian. Every value written here is far below the limit.
fn short(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
}

/// A 32-bit number, little-endian. Every value written here is far below the limit.
fn long(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn number(data: &[u8], at: usize, size: usize) -> usize {
        data[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    }

    #[test]
    fn directory_and_strips_fill_the_file_exactly() {
        let scan = five_megabyte_scan();
        assert!((5 << 20..(5 << 20) + 4096).contains(&scan.len()));
        assert_eq!(&scan[..4], b"II*\0");
        let directory = number(&scan, 4, 4);
        let count = number(&scan, directory, 2);
        let fields: BTreeMap<usize, (usize, usize, usize)> = (0..count)
            .map(|n| directory + 2 + 12 * n)
            .map(|at| {
                let value = (number(&scan, at + 2, 2), number(&scan, at + 4, 4), number(&scan, at + 8, 4));
                (number(&scan, at, 2), value)
            })
            .collect();
        assert_eq!(fields.len(), count, "each tag once");
        assert_eq!(number(&scan, directory + 2 + 12 * count, 4), 0, "one directory");
        let (width, height, rows) = (fields[&256].2, fields[&257].2, fields[&278].2);
        let (_, strips, offsets) = fields[&273];
        let (_, sizes_count, sizes) = fields[&279];
        assert_eq!((strips, sizes_count), (height.div_ceil(rows), strips));
        assert_eq!(number(&scan, fields[&282].2, 4), 232);
        let mut expected = sizes + 4 * strips;
        for strip in 0..strips {
            assert_eq!(number(&scan, offsets + 4 * strip, 4), expected);
            expected += number(&scan, sizes + 4 * strip, 4);
        }
        assert_eq!(expected, scan.len());
        assert_eq!(expected - (sizes + 4 * strips), width * height);
    }

    #[test]
    fn the_same_bytes_every_time_and_ink_on_paper() {
        let scan = five_megabyte_scan();
        assert!(scan == five_megabyte_scan());
        let dark = scan.iter().skip(4096).filter(|grey| **grey < 60).count();
        assert!(dark > 100_000, "text was drawn: {dark}");
    }

    #[test]
    fn every_character_of_the_letter_has_a_glyph_and_fits_the_page() {
        for line in LETTER {
            assert!(MARGIN + LETTER.len() + line.len() * 6 * SCALE <= WIDTH);
            for character in line.bytes().filter(|character| *character != b' ') {
                assert!(!glyph(character).is_empty(), "{}", char::from(character));
            }
        }
        assert!(MARGIN + LETTER.len() * LINE_HEIGHT < HEIGHT - 9 * SCALE);
    }
}
