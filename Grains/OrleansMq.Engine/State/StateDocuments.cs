using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace OrleansMq.State;

/// <summary>Reads the content of documents.</summary>
internal static class StateDocuments
{
    /// <summary>Reads a document's JSON.</summary>
    /// <exception cref="CorruptStateException">It is not that of the type.</exception>
    public static T Parse<T>(this StateDocument stored, string key, JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(stored.Value.Span, type) ?? throw new JsonException("It is null.");
        }
        catch (JsonException malformed)
        {
            throw new CorruptStateException(key, malformed);
        }
    }
}
