using System.Text.Json;

namespace OrleansMq.Gateways.Http;

/// <summary>Keys, values and headers in JSON.</summary>
internal static class JsonBytes
{
    /// <summary>Writes bytes as a string: in base64, or as the UTF-8 text that they are; absent ones as null.</summary>
    public static void WriteBytes(this Utf8JsonWriter json, ReadOnlySpan<byte> name, ReadOnlyMemory<byte>? bytes, bool isBase64)
    {
        if (bytes is not { } present)
            json.WriteNull(name);
        else if (isBase64)
            json.WriteBase64String(name, present.Span);
        else
            json.WriteString(name, present.Span);
    }
}
