using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.State;

/// <summary>
/// Maps names of state documents to file names. Lower-case letters, digits, <c>-</c>, <c>_</c> and <c>.</c> are unchanged; all other bytes
/// become <c>%XX</c> with upper-case digits. So names that differ only in case stay distinct on a case-insensitive file system. Names that
/// are too long are truncated and made unique by a hash after a <c>~</c>; such a document stores its own name.
/// </summary>
internal static class StateFileName
{
    public const string Suffix = ".json";

    // Common file systems limit file names to 255 bytes. The rest is for the suffixes of documents and temporary files.
    private const int MaxLength = 240;
    private const int HashDigits = 32;

    /// <summary>Returns the file name for a document's name, without <see cref="Suffix"/>.</summary>
    public static string Escape(string name)
    {
        var escaped = new StringBuilder(name.Length);
        foreach (var b in Encoding.UTF8.GetBytes(name))
        {
            if (b is (>= (byte)'a' and <= (byte)'z') or (>= (byte)'0' and <= (byte)'9') or (byte)'-' or (byte)'_' or (byte)'.')
                escaped.Append((char)b);
            else
                escaped.Append('%').Append(b.ToString("X2", CultureInfo.InvariantCulture));
        }
        if (escaped.Length <= MaxLength)
            return escaped.ToString();
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)))[..HashDigits];
        return $"{escaped.ToString(0, MaxLength - HashDigits - 1)}~{hash}";
    }

    /// <summary>Returns the document's name for a file name without <see cref="Suffix"/>; null if only the document contains its
    /// name.</summary>
    public static string? Unescape(string fileName) => fileName.Contains('~') ? null : Uri.UnescapeDataString(fileName);
}
