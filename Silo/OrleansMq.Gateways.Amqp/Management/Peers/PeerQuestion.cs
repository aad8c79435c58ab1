using System.Buffers;
using System.Text.Json;
using OrleansMq.Gateways.Amqp.Connections;

namespace OrleansMq.Gateways.Amqp.Management.Peers;

/// <summary>What a <see cref="PeerQuestion"/> asks for.</summary>
internal enum QuestionKind
{
    /// <summary>Connections.</summary>
    Connections,
    /// <summary>Their channels.</summary>
    Channels,
    /// <summary>The consumers of their channels.</summary>
    Consumers,
    /// <summary>How many of them there are, and how many messages the queues have that the broker leads.</summary>
    Totals,
    /// <summary>The broker itself.</summary>
    Node,
    /// <summary>To close connections.</summary>
    Close,
}

/// <summary>
/// What the management API asks each broker of the cluster, its own included. It has checked what the user may see, and that is part of
/// the question: a broker answers nothing else. Brokers of other builds may ask and answer: a question of another version has no answer.
/// </summary>
/// <param name="Kind">What it asks for.</param>
internal sealed record PeerQuestion(QuestionKind Kind)
{
    private const int Version = 1;

    /// <summary>The only user whose connections may be shown, or closed; null for all.</summary>
    public required string? Viewer { get; init; }

    /// <summary>The virtual hosts whose consumers and queues may be shown; null for all. Connections and channels have
    /// <see cref="VirtualHost"/>.</summary>
    public IReadOnlySet<string>? Hosts { get; init; }

    /// <summary>The virtual host of the connections; null for any.</summary>
    public string? VirtualHost { get; init; }

    /// <summary>The user of the connections; null for any.</summary>
    public string? User { get; init; }

    /// <summary>The name of the one connection; null for any.</summary>
    public string? Connection { get; init; }

    /// <summary>The name of the one channel; null for any.</summary>
    public string? Channel { get; init; }

    /// <summary>What the clients of connections are told that are closed.</summary>
    public string? Reason { get; init; }

    /// <summary>Whether totals tell of the ports, too.</summary>
    public bool HasListeners { get; init; }

    /// <summary>Where the answer begins.</summary>
    public PagePlace After { get; init; }

    /// <summary>Whether it is about a connection or channel of one name.</summary>
    public bool HasName => Connection is not null || Channel is not null;

    /// <summary>Returns whether the connection of a name may be what is asked for: others need not be described.</summary>
    public bool MayConcern(string connection) => (Connection is null || connection == Connection)
        && (Channel is null || Channel.StartsWith(connection, StringComparison.Ordinal));

    /// <summary>Returns whether a connection is what is asked for, whether it may be shown or not.</summary>
    public bool Concerns(ConnectionDescription connection) =>
        (User is null || connection.Client.User == User)
        && (VirtualHost is null || connection.Client.VirtualHost == VirtualHost)
        && (Hosts is null || Hosts.Contains(connection.Client.VirtualHost))
        && MayConcern(connection.Name)
        && (Channel is null || connection.Channels.Any(channel => Concerns(connection, channel)));

    /// <summary>Returns whether a channel of such a connection is what is asked for.</summary>
    public bool Concerns(ConnectionDescription connection, ChannelDescription channel) =>
        Channel is null || connection.NameOf(channel) == Channel;

    /// <summary>Returns whether the user may see a connection.</summary>
    public bool Shows(ConnectionDescription connection) => Viewer is null || connection.Client.User == Viewer;

    /// <summary>Writes it for another broker.</summary>
    public ReadOnlyMemory<byte> Write()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteNumber("version", Version);
            writer.WriteString("kind", Kind.ToString());
            writer.WriteString("viewer", Viewer);
            writer.WritePropertyName("hosts");
            WriteHosts(writer);
            writer.WriteString("vhost", VirtualHost);
            writer.WriteString("user", User);
            writer.WriteString("connection", Connection);
            writer.WriteString("channel", Channel);
            writer.WriteString("reason", Reason);
            writer.WriteBoolean("listeners", HasListeners);
            writer.WriteNumber("after_connection", After.Connection);
            writer.WriteNumber("after_items", After.Items);
            writer.WriteEndObject();
        }
        return buffer.WrittenMemory;
    }

    /// <summary>Reads the question of another broker. Each field must be there: one that is missing must not mean that all is
    /// shown.</summary>
    /// <returns>Null: this build does not know it.</returns>
    /// <exception cref="JsonException">It is not JSON.</exception>
    /// <exception cref="KeyNotFoundException">A field is missing.</exception>
    public static PeerQuestion? Read(ReadOnlyMemory<byte> json)
    {
        using var document = JsonDocument.Parse(json);
        var fields = document.RootElement;
        if (fields.GetProperty("version").GetInt32() != Version
            || !Enum.TryParse<QuestionKind>(fields.GetProperty("kind").GetString(), out var kind) || !Enum.IsDefined(kind))
            return null;
        var hosts = fields.GetProperty("hosts");
        return new PeerQuestion(kind)
        {
            Viewer = fields.GetProperty("viewer").GetString(),
            Hosts = hosts.ValueKind == JsonValueKind.Null ? null
                : hosts.EnumerateArray().Select(static host => host.GetString()!).ToHashSet(StringComparer.Ordinal),
            VirtualHost = fields.GetProperty("vhost").GetString(),
            User = fields.GetProperty("user").GetString(),
            Connection = fields.GetProperty("connection").GetString(),
            Channel = fields.GetProperty("channel").GetString(),
            Reason = fields.GetProperty("reason").GetString(),
            HasListeners = fields.GetProperty("listeners").GetBoolean(),
            After = new PagePlace(fields.GetProperty("after_connection").GetInt64(), fields.GetProperty("after_items").GetInt32()),
        };
    }

    private void WriteHosts(Utf8JsonWriter writer)
    {
        if (Hosts is null)
        {
            writer.WriteNullValue();
            return;
        }
        writer.WriteStartArray();
        foreach (var host in Hosts)
            writer.WriteStringValue(host);
        writer.WriteEndArray();
    }
}
