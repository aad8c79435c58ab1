using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.State;

/// <summary>
/// Names of files for names of state documents. Lower case letters, digits, <c>-</c>, <c>_</c> and <c>.</c> stand for themselves, all other
/// bytes as <c>%XX</c> with upper case digits: two names that differ in case alone stay apart on a file system that ignores case. What gets
/// too long for a file name is cut, and told apart by its hash after a <c>~</c>; such a document carries its own name.
/// </summary>
internal static class StateFileName
{
    public const string Suffix = ".json";

    // File names end at 255 bytes on common file systems; the rest is for the suffixes of documents and of temporary files.
    private const int MaxLength = 240;
    private const int HashDigits = 32;

    /// <summary>The file name for a document's name, without <see cref="Suffix"/>.</summary>
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

    /// <summary>The document's name for a file name without <see cref="Suffix"/>; null where only the document itself knows it.</summary>
    public static string? Unescape(string fileName) => fileName.Contains('~') ? null : Uri.UnescapeDataString(fileName);
}
