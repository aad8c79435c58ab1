using System.Net;
using System.Text.Json;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Connections;

namespace OrleansMq.Gateways.Amqp.Management.Peers;

/// <summary>Answers what the management API asks this broker: its own, and that of the cluster's other brokers, also where this one serves
/// none. Thread safe.</summary>
/// <param name="amqp">The gateway whose connections they are.</param>
/// <param name="broker">The broker's number.</param>
/// <param name="log">The log.</param>
internal sealed class BrokerAnswers(AmqpGateway amqp, int broker, EngineLog log)
{
    private readonly ConnectionJson _json = new(NodeOf(broker));

    /// <summary>Returns a broker's name, as RabbitMQ's tools know nodes: no two of a cluster have the same.</summary>
    public static string NodeOf(int broker) => $"orleansmq@{broker}";

    /// <summary>Answers another broker.</summary>
    /// <returns>A page; empty where this build does not know the question.</returns>
    public async Task<ReadOnlyMemory<byte>> AnswerAsync(ReadOnlyMemory<byte> question)
    {
        try
        {
            return PeerQuestion.Read(question) is { } known ? await AnswerAsync(known).ConfigureAwait(false) : default;
        }
        catch (Exception fault)
        {
            log.Write(EngineLogLevel.Warning, "AMQP management: a question of another broker could not be answered.", fault);
            return default;
        }
    }

    /// <summary>Answers a question.</summary>
    /// <returns>A page.</returns>
    public async Task<ReadOnlyMemory<byte>> AnswerAsync(PeerQuestion question)
    {
        // Counts of a few seconds ago do.
        if (question.Kind == QuestionKind.Totals)
            await amqp.RefreshAsync(CancellationToken.None).ConfigureAwait(false);
        return PeerPage.Write(items => question.Kind switch
        {
            QuestionKind.Totals => One(items, writer => WriteTotals(writer, question)),
            QuestionKind.Node => One(items, WriteNode),
            _ => AddConnections(items, question),
        });
    }

    /// <summary>Writes the ports, into an array.</summary>
    public void WriteListeners(Utf8JsonWriter writer)
    {
        foreach (var (protocol, endPoint) in new (string, IPEndPoint?)[] { ("amqp", amqp.EndPoint), ("http", amqp.ManagementEndPoint) })
        {
            if (endPoint is null)
                continue;
            writer.WriteStartObject();
            writer.WriteString("node", NodeOf(broker));
            writer.WriteString("protocol", protocol);
            writer.WriteString("ip_address", endPoint.Address.ToString());
            writer.WriteNumber("port", endPoint.Port);
            writer.WriteEndObject();
        }
    }

    private static (PageMatch Match, PagePlace? Next) One(PageItems items, Action<Utf8JsonWriter> write)
    {
        items.TryAdd(write);
        return (PageMatch.Found, null);
    }

    // Closes them, or adds what is asked for as far as there is room. Each is described when its turn comes; where one name is asked for,
    // the others are not.
    private (PageMatch Match, PagePlace? Next) AddConnections(PageItems items, PeerQuestion question)
    {
        var match = PageMatch.None;
        foreach (var connection in amqp.Connections.Where(one => one.Number >= question.After.Connection
            && (!question.HasName || question.MayConcern(one.Name))).OrderBy(static one => one.Number))
        {
            if (connection.Describe() is not { } described || !question.Concerns(described))
                continue;
            if (!question.Shows(described))
            {
                // Only a connection that is named is reported as refused.
                if (question.Connection is not null && match == PageMatch.None)
                    match = PageMatch.Refused;
                continue;
            }
            match = PageMatch.Found;
            if (question.Kind == QuestionKind.Close)
                Close(connection, question);
            else if (AddItems(items, question, described) is { } next)
                return (match, next);
        }
        return (match, null);
    }

    private static void Close(AmqpConnection connection, PeerQuestion question)
    {
        if (question.Connection is null && question.User is null)
            throw new InvalidOperationException("The question names no connections to close.");
        connection.Close(question.Reason ?? "");
    }

    // Returns where to go on; null: all is added.
    private PagePlace? AddItems(PageItems items, PeerQuestion question, ConnectionDescription connection)
    {
        var added = connection.Number == question.After.Connection ? question.After.Items : 0;
        foreach (var write in ItemsOf(question, connection).Skip(added))
        {
            if (!items.TryAdd(write))
                return new PagePlace(connection.Number, added);
            added++;
        }
        return null;
    }

    private IEnumerable<Action<Utf8JsonWriter>> ItemsOf(PeerQuestion question, ConnectionDescription connection)
    {
        var channels = connection.Channels.Where(channel => question.Concerns(connection, channel));
        return question.Kind switch
        {
            QuestionKind.Connections => [writer => _json.Write(writer, connection)],
            QuestionKind.Channels => channels.Select(channel =>
                (Action<Utf8JsonWriter>)(writer => _json.Write(writer, connection, channel))),
            QuestionKind.Consumers => channels.SelectMany(static channel => channel.Consumers, (channel, consumer) =>
                (Action<Utf8JsonWriter>)(writer => _json.Write(writer, connection, channel, consumer))),
            _ => throw new InvalidOperationException($"{question.Kind} has no items."),
        };
    }

    // Connections and channels are filtered by user, consumers and messages by virtual host.
    private void WriteTotals(Utf8JsonWriter writer, PeerQuestion question)
    {
        var (connections, channels, consumers) = (0L, 0L, 0L);
        foreach (var connection in amqp.Connections.Select(static one => one.Describe()).OfType<ConnectionDescription>())
        {
            if (question.Shows(connection))
            {
                connections++;
                channels += connection.Channels.Count;
            }
            if (question.Hosts?.Contains(connection.Client.VirtualHost) != false)
                consumers += connection.Channels.Sum(static channel => (long)channel.Consumers.Count);
        }
        var queues = amqp.LedQueues.Where(queue => question.Hosts?.Contains(queue.VirtualHost) != false).ToArray();
        writer.WriteStartObject();
        writer.WriteNumber("connections", connections);
        writer.WriteNumber("channels", channels);
        writer.WriteNumber("consumers", consumers);
        writer.WriteNumber("messages_ready", queues.Sum(static queue => queue.Counts.Ready));
        writer.WriteNumber("messages_unacknowledged", queues.Sum(static queue => queue.Counts.Held));
        writer.WriteStartArray("listeners");
        if (question.HasListeners)
            WriteListeners(writer);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private void WriteNode(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteString("name", NodeOf(broker));
        writer.WriteString("type", "disc");
        writer.WriteBoolean("running", true);
        writer.WriteString("rabbitmq_version", ConnectionSettings.RabbitMqVersion);
        writer.WriteBoolean("mem_alarm", false);
        writer.WriteBoolean("disk_free_alarm", false);
        writer.WriteNumber("mem_used", Environment.WorkingSet);
        writer.WriteNumber("processors", Environment.ProcessorCount);
        writer.WriteStartArray("partitions");
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
