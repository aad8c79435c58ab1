using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace OrleansMq.Gateways.Amqp.Management.Peers;

/// <summary>Where a page of a list begins: behind some items of a connection, whose channels and consumers may take several
/// pages.</summary>
/// <param name="Connection">The number of the connection.</param>
/// <param name="Items">How many of its items were in earlier pages.</param>
internal readonly record struct PagePlace(long Connection, int Items)
{
    /// <summary>Returns whether it is behind another place.</summary>
    public bool IsBehind(PagePlace other) =>
        Connection > other.Connection || (Connection == other.Connection && Items > other.Items);
}

/// <summary>Whether a broker has what is asked for.</summary>
internal enum PageMatch
{
    /// <summary>It has not.</summary>
    None,
    /// <summary>It has the connection that is asked for, and the user may not see or close it.</summary>
    Refused,
    /// <summary>It has.</summary>
    Found,
}

/// <summary>The answer of a broker to a <see cref="PeerQuestion"/>: items as JSON that the API copies into its own answer.</summary>
internal sealed class PeerPage
{
    /// <summary>The most bytes of a page, 256 KiB, unless its only item has more: what clients say of themselves comes in one frame, whose
    /// bytes are up to six times as many in JSON.</summary>
    public const int Bytes = 256 << 10;

    // What clients say of themselves is nested up to 64 deep, and all depths are written.
    private static readonly JsonReaderOptions Reading = new() { MaxDepth = 1024 };
    private static readonly JsonWriterOptions Writing = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // An array.
    private ReadOnlyMemory<byte> _items;

    private PeerPage()
    {
    }

    /// <summary>That of a broker without AMQP.</summary>
    public static PeerPage Nothing { get; } = Read(Write(static _ => (PageMatch.None, null)));

    /// <summary>Whether the broker has what is asked for.</summary>
    public PageMatch Match { get; private init; }

    /// <summary>Where the next page begins; null: this is the last.</summary>
    public PagePlace? Next { get; private init; }

    /// <summary>The JSON of the first item; empty if there is none.</summary>
    public ReadOnlyMemory<byte> First { get; private init; }

    /// <summary>Writes a page.</summary>
    /// <param name="writeItems">Adds the items that fit.</param>
    public static ReadOnlyMemory<byte> Write(Func<PageItems, (PageMatch Match, PagePlace? Next)> writeItems)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, Writing))
        using (var items = new PageItems(writer, Writing))
        {
            writer.WriteStartObject();
            writer.WriteStartArray("items");
            var (match, next) = writeItems(items);
            writer.WriteEndArray();
            writer.WriteString("match", match.ToString());
            if (next is { } place)
            {
                writer.WriteNumber("next_connection", place.Connection);
                writer.WriteNumber("next_items", place.Items);
            }
            writer.WriteEndObject();
        }
        return buffer.WrittenMemory;
    }

    /// <summary>Reads a page.</summary>
    /// <exception cref="JsonException">It is not JSON, or no page.</exception>
    /// <exception cref="InvalidOperationException">It is no page.</exception>
    public static PeerPage Read(ReadOnlyMemory<byte> json)
    {
        var reader = new Utf8JsonReader(json.Span, Reading);
        Demand(reader.Read() && reader.TokenType == JsonTokenType.StartObject);
        ReadOnlyMemory<byte> items = default, first = default;
        var match = PageMatch.None;
        long? connection = null;
        var behind = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString();
            Demand(reader.Read());
            switch (name)
            {
                case "items":
                    Demand(reader.TokenType == JsonTokenType.StartArray);
                    var start = (int)reader.TokenStartIndex;
                    while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                    {
                        var begin = (int)reader.TokenStartIndex;
                        reader.Skip();
                        if (first.IsEmpty)
                            first = json[begin..(int)reader.BytesConsumed];
                    }
                    items = json[start..(int)reader.BytesConsumed];
                    break;
                case "match":
                    Demand(Enum.TryParse(reader.GetString(), out match));
                    break;
                case "next_connection":
                    connection = reader.GetInt64();
                    break;
                case "next_items":
                    behind = reader.GetInt32();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
        Demand(!items.IsEmpty);
        return new PeerPage
        {
            _items = items,
            First = first,
            Match = match,
            Next = connection is { } number ? new PagePlace(number, behind) : null,
        };
    }

    /// <summary>Writes the items into an array.</summary>
    public void CopyTo(Utf8JsonWriter writer)
    {
        var json = _items.Span;
        var reader = new Utf8JsonReader(json, Reading);
        reader.Read();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var begin = (int)reader.TokenStartIndex;
            reader.Skip();
            writer.WriteRawValue(json[begin..(int)reader.BytesConsumed], skipInputValidation: true);
        }
    }

    private static void Demand(bool isPage)
    {
        if (!isPage)
            throw new JsonException("The answer is no page.");
    }
}
