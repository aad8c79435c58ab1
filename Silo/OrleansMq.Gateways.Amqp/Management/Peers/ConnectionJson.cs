using System.Text.Json;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Management.Peers;

/// <summary>Writes connections, channels and consumers as RabbitMQ does.</summary>
/// <param name="node">The name of their broker.</param>
internal sealed class ConnectionJson(string node)
{
    /// <summary>Writes a connection.</summary>
    public void Write(Utf8JsonWriter writer, ConnectionDescription connection)
    {
        writer.WriteStartObject();
        writer.WriteString("name", connection.Name);
        writer.WriteString("pid", $"<{node}.{connection.Number}.0>");
        writer.WriteString("node", node);
        writer.WriteString("user", connection.Client.User);
        writer.WriteString("user_who_performed_action", connection.Client.User);
        writer.WriteString("vhost", connection.Client.VirtualHost);
        writer.WriteString("state", connection.State);
        writer.WriteString("type", "network");
        writer.WriteString("protocol", "AMQP 0-9-1");
        writer.WriteBoolean("ssl", false);
        writer.WriteString("auth_mechanism", connection.Client.Mechanism);
        WriteEndPoints(writer, connection);
        writer.WriteNumber("channels", connection.Channels.Count);
        writer.WriteNumber("channel_max", connection.Client.ChannelMax);
        writer.WriteNumber("frame_max", connection.Client.FrameMax);
        writer.WriteNumber("timeout", (long)connection.Client.Heartbeat.TotalSeconds);
        writer.WriteNumber("connected_at", connection.ConnectedAt.ToUnixTimeMilliseconds());
        writer.WriteNumber("recv_oct", connection.ReceivedBytes);
        writer.WriteNumber("send_oct", connection.SentBytes);
        if (connection.Client.ConnectionName is { } name)
            writer.WriteString("user_provided_name", name);
        WriteTable(writer, "client_properties", connection.Client.Properties);
        writer.WriteEndObject();
    }

    /// <summary>Writes a channel.</summary>
    public void Write(Utf8JsonWriter writer, ConnectionDescription connection, ChannelDescription channel)
    {
        writer.WriteStartObject();
        writer.WriteString("name", connection.NameOf(channel));
        writer.WriteNumber("number", channel.Number);
        writer.WriteString("node", node);
        writer.WriteString("user", connection.Client.User);
        writer.WriteString("vhost", connection.Client.VirtualHost);
        writer.WriteString("state", connection.State);
        writer.WriteBoolean("confirm", channel.IsConfirming);
        writer.WriteBoolean("transactional", channel.IsTransactional);
        writer.WriteNumber("consumer_count", channel.Consumers.Count);
        writer.WriteNumber("prefetch_count", channel.Prefetch);
        writer.WriteNumber("global_prefetch_count", channel.SharedPrefetch);
        writer.WriteNumber("messages_unacknowledged", channel.Unacknowledged);
        writer.WriteNumber("messages_unconfirmed", channel.Unconfirmed);
        writer.WriteNumber("messages_uncommitted", channel.UncommittedPublishes);
        writer.WriteNumber("acks_uncommitted", channel.UncommittedAcknowledgements);
        writer.WriteStartObject("connection_details");
        writer.WriteString("name", connection.Name);
        WriteEndPoints(writer, connection);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    /// <summary>Writes a consumer.</summary>
    public void Write(Utf8JsonWriter writer, ConnectionDescription connection, ChannelDescription channel, ConsumerDescription consumer)
    {
        writer.WriteStartObject();
        writer.WriteString("consumer_tag", consumer.Tag);
        writer.WriteStartObject("queue");
        writer.WriteString("name", consumer.Queue);
        writer.WriteString("vhost", connection.Client.VirtualHost);
        writer.WriteEndObject();
        writer.WriteBoolean("ack_required", !consumer.IsNoAck);
        writer.WriteBoolean("exclusive", consumer.IsExclusive);
        writer.WriteNumber("prefetch_count", consumer.Prefetch);
        WriteTable(writer, "arguments", consumer.Arguments);
        writer.WriteStartObject("channel_details");
        writer.WriteString("name", connection.NameOf(channel));
        writer.WriteNumber("number", channel.Number);
        writer.WriteString("node", node);
        writer.WriteString("user", connection.Client.User);
        writer.WriteString("connection_name", connection.Name);
        WriteEndPoints(writer, connection);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void WriteEndPoints(Utf8JsonWriter writer, ConnectionDescription connection)
    {
        writer.WriteString("peer_host", connection.Remote.Address.ToString());
        writer.WriteNumber("peer_port", connection.Remote.Port);
        writer.WriteString("host", connection.Local.Address.ToString());
        writer.WriteNumber("port", connection.Local.Port);
    }

    private static void WriteTable(Utf8JsonWriter writer, string name, Wire.FieldTable table)
    {
        writer.WritePropertyName(name);
        FieldJson.WriteTable(writer, Publication.ToEngine(table), isMarked: false);
    }
}
