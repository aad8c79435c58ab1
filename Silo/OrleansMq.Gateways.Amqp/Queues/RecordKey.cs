using System.Globalization;
using System.Text;
using System.Text.Unicode;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The key of a message's record: the header <c>x-record-key</c> of its properties. A publisher sets it, and a consumer of a record from
/// elsewhere, such as Kafka, finds it there.
/// <code>
/// header                            key of the record
/// text, bytes                       these bytes
/// integer                           its decimal digits
/// none, void                        none
/// anything else                     the publish is refused
/// </code>
/// </summary>
internal static class RecordKey
{
    /// <summary>The header's name.</summary>
    public const string Header = "x-record-key";

    /// <summary>Returns the key that properties give a record; null for none.</summary>
    public static ReadOnlyMemory<byte>? Of(ContentProperties properties) => Find(properties) is not { } value ? null
        : value.Bytes ?? (value.Integer is { } integer
            ? Encoding.UTF8.GetBytes(integer.ToString(CultureInfo.InvariantCulture)) : (ReadOnlyMemory<byte>?)null);

    /// <summary>Returns why properties give a record no key that it can have; null: they do, or have none.</summary>
    public static string? FaultOf(ContentProperties properties) =>
        Find(properties) is not { } value || value.Bytes is not null || value.Integer is not null || value.Type == FieldType.Void ? null
            : $"header '{Header}' is the key of a record: a text, bytes, or an integer; leave it out for none";

    /// <summary>Returns properties that give a record its key. They stay as they are where they do already.</summary>
    /// <param name="properties">The properties.</param>
    /// <param name="key">The record's key; null for none.</param>
    public static ContentProperties With(ContentProperties properties, ReadOnlyMemory<byte>? key)
    {
        if (key is not { } bytes || (Of(properties) is { } own && own.Span.SequenceEqual(bytes.Span)))
            return properties;
        return properties.WithHeader(Header, Utf8.IsValid(bytes.Span) ? FieldValue.Of(Encoding.UTF8.GetString(bytes.Span))
            : FieldValue.OfBytes(bytes.Span));
    }

    private static FieldValue? Find(ContentProperties properties) => properties.Headers?.Find("x-record-key"u8);
}
