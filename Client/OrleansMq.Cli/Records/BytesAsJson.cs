using System.Text.Json;
using System.Text.Unicode;

namespace OrleansMq.Cli.Records;

/// <summary>Bytes in JSON without loss: text as a string under its name, anything else as base64 under the name with <c>Base64</c> behind
/// it.</summary>
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
