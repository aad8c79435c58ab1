using System.Globalization;

namespace OrleansMq.Client;

/// <summary>Grains in records. A grain is stored as Orleans writes it, <c>order/7</c>. Orleans reads the type up to the first slash, so a
/// type with a slash has a slash and its length before it: <c>/10/shop/order/7</c>.</summary>
internal static class GrainText
{
    private const char Slash = '/';

    /// <summary>Returns a grain as text.</summary>
    public static string Of(GrainId grain) => grain.Type.ToString() is { } type && type.Contains(Slash, StringComparison.Ordinal)
        ? string.Create(CultureInfo.InvariantCulture, $"{Slash}{type.Length}{Slash}{grain}") : grain.ToString();

    /// <summary>Reads a grain.</summary>
    public static bool TryParse(string? text, out GrainId grain)
    {
        grain = default;
        if (text is null)
            return false;
        if (!text.StartsWith(Slash))
            return GrainId.TryParse(text, null, out grain);
        var begin = text.IndexOf(Slash, 1) + 1;
        if (begin == 0 || !int.TryParse(text.AsSpan(1, begin - 2), NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            || length == 0 || length >= text.Length - begin || text[begin + length] != Slash)
            return false;
        grain = GrainId.Create(text.Substring(begin, length), text[(begin + length + 1)..]);
        return true;
    }
}
