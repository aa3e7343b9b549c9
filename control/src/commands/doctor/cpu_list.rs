//! Lists of cores as the kernel writes them: `0-2,5`. Pure.

/// Most cores of a machine that is believed: a range beyond it is damage.
const CORE_MAX: usize = 8191;

/// The cores of a list; what is no number or range is left out.
pub fn parse(text: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last.min(CORE_MAX));
        }
    }
    cores
}

/// The list of these cores, which are in order.
pub fn spelled(cores: &[usize]) -> String {
    let mut text = String::new();
    for run in cores.chunk_by(|a, b| a + 1 == *b) {
        let comma = if text.is_empty() { "" } else { "," };
        text += &match run {
            [one] => format!("{comma}{one}"),
            [first, .., last] => format!("{comma}{first}-{last}"),
            [] => String::new(),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        for (text, cores) in [("", vec![]), ("0", vec![0]), ("0-2,5", vec![0, 1, 2, 5]), ("3,7-8", vec![3, 7, 8])] {
            assert_eq!(parse(text), cores);
            assert_eq!(spelled(&cores), text);
        }
        assert!(parse("(null)\n").is_empty());
        assert_eq!(parse("0-18446744073709551615").len(), CORE_MAX + 1, "damage costs little");
    }
}
