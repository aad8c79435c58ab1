using System.Text.Json;
using System.Text.Unicode;

namespace OrleansMq.Cli.Records;

/// <summary>Lossless JSON for bytes: text is a string under its name; other bytes are base64 under the name with the suffix
/// <c>Base64</c>.</summary>
internal static class BytesAsJson
{
    /// <summary>Writes one property; null stays null.</summary>
    public static void WriteBytes(this Utf8JsonWriter json, string name, ReadOnlyMemory<byte>? bytes)
    {
        if (bytes is not { } present)
            json.WriteNull(name);
        else if (Utf8.IsValid(present.Span))
            json.WriteString(name, present.Span);
        else
            json.WriteBase64String(name + "Base64", present.Span);
    }
}
