using System.Buffers.Text;
using System.Globalization;

namespace OrleansMq.Filters;

/// <summary>
/// A number of a filter or of a header's value: a 64-bit integer, or a double for all else. Two integers compare exactly, and so do an
/// integer and a double.
/// </summary>
internal readonly struct FilterNumber
{
    // 2^63: from here on a double is beyond every integer.
    private const double BeyondIntegers = 9223372036854775808.0;

    private readonly long _integer;
    private readonly double _real;
    private readonly bool _isReal;

    private FilterNumber(long integer) => _integer = integer;

    private FilterNumber(double real) => (_real, _isReal) = (real, true);

    /// <summary>Parses a number: an optional sign, digits, an optional fraction and an optional exponent, and nothing else.</summary>
    /// <param name="text">The text, as UTF-8.</param>
    /// <param name="number">The number.</param>
    /// <returns>False if the text is no number, is longer than <see cref="FilterLimits.MaxNumberBytes"/>, or is beyond a double.</returns>
    public static bool TryParse(ReadOnlySpan<byte> text, out FilterNumber number)
    {
        number = default;
        if (text.Length is 0 or > FilterLimits.MaxNumberBytes || !HasNumbersCharacters(text))
            return false;
        if (Utf8Parser.TryParse(text, out long integer, out var read) && read == text.Length)
        {
            number = new FilterNumber(integer);
            return true;
        }
        if (!double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent,
            CultureInfo.InvariantCulture, out var real) || !double.IsFinite(real))
            return false;
        number = new FilterNumber(real);
        return true;
    }

    /// <summary>Returns a value below, equal to or above 0 as the number is below, equal to or above the other.</summary>
    public int CompareTo(in FilterNumber other)
    {
        if (!_isReal)
            return other._isReal ? Compare(_integer, other._real) : _integer.CompareTo(other._integer);
        return other._isReal ? _real.CompareTo(other._real) : -Compare(other._integer, _real);
    }

    /// <summary>Returns a text that is parsed to the same number.</summary>
    public override string ToString()
    {
        if (!_isReal)
            return _integer.ToString(CultureInfo.InvariantCulture);
        var text = _real.ToString("R", CultureInfo.InvariantCulture);
        return text.AsSpan().ContainsAny('.', 'E') ? text : text + ".0";
    }

    // "NaN" and "Infinity" are parsed whatever the style is.
    private static bool HasNumbersCharacters(ReadOnlySpan<byte> text) => !text.ContainsAnyExcept("+-.0123456789eE"u8);

    private static int Compare(long integer, double real)
    {
        if (real >= BeyondIntegers)
            return -1;
        if (real < -BeyondIntegers)
            return 1;
        var whole = Math.Truncate(real);
        var compared = integer.CompareTo((long)whole);
        return compared != 0 ? compared : 0.0.CompareTo(real - whole);
    }
}
