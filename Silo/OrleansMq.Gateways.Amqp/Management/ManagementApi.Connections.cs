using System.Text.Json;
using Microsoft.AspNetCore.Http;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Management;

// Connections of this broker, their channels and consumers. Users see their own, those of the tag monitoring all.
internal sealed partial class ManagementApi
{
    // RabbitMQ's flags of what this broker has.
    private static readonly string[] FeatureFlags = ["implicit_default_bindings", "quorum_queue", "virtual_host_metadata"];

    private async Task<Action<Utf8JsonWriter>> ReadConnectionsAsync(ManagementRequest request, string[] path)
    {
        switch (path)
        {
            case ["connections"]:
                return writer => List(writer, ConnectionsOf(request), WriteConnection, isObject: true);
            case ["connections", "username", var user]:
                var ofUser = ConnectionsOf(request).Where(connection => connection.Client.User == user).ToArray();
                return writer => List(writer, ofUser, WriteConnection, isObject: true);
            case ["connections", var name]:
                var found = FindConnection(request, name, mayMonitor: true).Description;
                return writer => Object(writer, () => WriteConnection(writer, found));
            case ["connections", var name, "channels"]:
                var itsChannels = ChannelsOf([FindConnection(request, name, mayMonitor: true).Description]);
                return writer => List(writer, itsChannels, WriteChannel, isObject: true);
            case ["vhosts", var host, var kind]:
                await request.SeeAsync(host).ConfigureAwait(false);
                var ofHost = ConnectionsOf(request).Where(connection => connection.Client.VirtualHost == host).ToArray();
                return kind == "channels" ? writer => List(writer, ChannelsOf(ofHost), WriteChannel, isObject: true)
                    : writer => List(writer, ofHost, WriteConnection, isObject: true);
            case ["channels"]:
                return writer => List(writer, ChannelsOf(ConnectionsOf(request)), WriteChannel, isObject: true);
            case ["channels", var name]:
                var channel = ChannelsOf(ConnectionsOf(request)).FirstOrDefault(item => item.Connection.NameOf(item.Channel) == name);
                if (channel.Channel is null)
                    throw ManagementException.NotFound();
                return writer => Object(writer, () => WriteChannelWithConsumers(writer, channel));
            case ["consumers"]:
                return writer => List(writer, ConsumersOf(request.Visible), WriteConsumer, isObject: true);
            case ["consumers", var host]:
                var one = await request.SeeAsync(host).ConfigureAwait(false);
                return writer => List(writer, ConsumersOf([one]), WriteConsumer, isObject: true);
            default:
                throw ManagementException.NotFound();
        }
    }

    private int CloseConnections(ManagementRequest request, string[] path)
    {
        var given = request.Context.Request.Headers["X-Reason"].ToString();
        var reason = given.Length > 0 ? given : "Closed via management plugin";
        if (path is ["connections", "username", var user])
        {
            ManagementUser.Demand(request.User.IsAdministrator || request.User.State.Name == user, "administrator");
            foreach (var connection in amqp.Connections.Where(one => one.Describe()?.Client.User == user))
                connection.Close(reason);
        }
        else
        {
            FindConnection(request, path[1], mayMonitor: false).Connection.Close(reason);
        }
        return StatusCodes.Status204NoContent;
    }

    private ConnectionDescription[] ConnectionsOf(ManagementRequest request) =>
        [.. amqp.Connections.Select(static connection => connection.Describe()).OfType<ConnectionDescription>()
            .Where(connection => request.User.IsMonitoring || connection.Client.User == request.User.State.Name)
            .OrderBy(static connection => connection.Number)];

    private (AmqpConnection Connection, ConnectionDescription Description) FindConnection(ManagementRequest request, string name,
        bool mayMonitor)
    {
        var found = amqp.Connections.Select(static connection => (connection, connection.Describe()))
            .FirstOrDefault(item => item.Item2?.Name == name);
        if (found.Item2 is not { } description)
            throw ManagementException.NotFound();
        if (!request.User.IsAdministrator && !(mayMonitor && request.User.IsMonitoring)
            && description.Client.User != request.User.State.Name)
            throw ManagementException.NotAuthorized("User not authorized to access object");
        return (found.connection, description);
    }

    private static IEnumerable<(ConnectionDescription Connection, ChannelDescription Channel)> ChannelsOf(
        IEnumerable<ConnectionDescription> connections) => connections.SelectMany(static connection => connection.Channels,
            static (connection, channel) => (connection, channel));

    private IEnumerable<ListedConsumer> ConsumersOf(IEnumerable<VirtualHostImage> hosts)
    {
        var byName = hosts.ToDictionary(static host => host.Name, StringComparer.Ordinal);
        return from connection in amqp.Connections.Select(static connection => connection.Describe()).OfType<ConnectionDescription>()
               where byName.ContainsKey(connection.Client.VirtualHost)
               from channel in connection.Channels
               from consumer in channel.Consumers
               select new ListedConsumer(connection, channel, consumer);
    }

    private void WriteConnection(Utf8JsonWriter writer, ConnectionDescription connection)
    {
        writer.WriteString("name", connection.Name);
        writer.WriteString("pid", $"<{Node}.{connection.Number}.0>");
        writer.WriteString("node", Node);
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
    }

    private void WriteChannelWithConsumers(Utf8JsonWriter writer, (ConnectionDescription Connection, ChannelDescription Channel) item)
    {
        WriteChannel(writer, item);
        writer.WriteStartArray("consumer_details");
        foreach (var consumer in item.Channel.Consumers)
            Object(writer, () => WriteConsumer(writer, new ListedConsumer(item.Connection, item.Channel, consumer)));
        writer.WriteEndArray();
    }

    private void WriteChannel(Utf8JsonWriter writer, (ConnectionDescription Connection, ChannelDescription Channel) item)
    {
        var (connection, channel) = item;
        writer.WriteString("name", connection.NameOf(channel));
        writer.WriteNumber("number", channel.Number);
        writer.WriteString("node", Node);
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
    }

    private void WriteConsumer(Utf8JsonWriter writer, ListedConsumer item)
    {
        var (connection, channel, consumer) = item;
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
        writer.WriteString("node", Node);
        writer.WriteString("user", connection.Client.User);
        writer.WriteString("connection_name", connection.Name);
        WriteEndPoints(writer, connection);
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

    private static void WriteFeatureFlag(Utf8JsonWriter writer, string name)
    {
        writer.WriteString("name", name);
        writer.WriteString("state", "enabled");
        writer.WriteString("stability", "required");
        writer.WriteString("provided_by", "orleansmq");
        writer.WriteString("desc", "");
        writer.WriteString("doc_url", "");
    }

    private sealed record ListedConsumer(ConnectionDescription Connection, ChannelDescription Channel, ConsumerDescription Consumer);
}
