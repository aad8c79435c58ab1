using System.Text.Json;

namespace OrleansMq.Gateways.Amqp.Management.Peers;

/// <summary>The sums of what brokers answer to <see cref="QuestionKind.Totals"/>.</summary>
internal sealed class ClusterTotals
{
    private readonly List<JsonElement> _listeners = [];

    /// <summary>The connections that the user sees.</summary>
    public long Connections { get; private set; }

    /// <summary>Their channels.</summary>
    public long Channels { get; private set; }

    /// <summary>The consumers of the virtual hosts that the user sees.</summary>
    public long Consumers { get; private set; }

    /// <summary>The messages that wait in the queues of these virtual hosts.</summary>
    public long Ready { get; private set; }

    /// <summary>The messages that consumers of these queues hold.</summary>
    public long Unacknowledged { get; private set; }

    /// <summary>The ports of the brokers, as objects.</summary>
    public IReadOnlyList<JsonElement> Listeners => _listeners;

    /// <summary>Adds those of a broker.</summary>
    public void Add(ReadOnlyMemory<byte> json)
    {
        using var document = JsonDocument.Parse(json);
        Connections += Read("connections");
        Channels += Read("channels");
        Consumers += Read("consumers");
        Ready += Read("messages_ready");
        Unacknowledged += Read("messages_unacknowledged");
        if (document.RootElement.TryGetProperty("listeners", out var listeners))
            _listeners.AddRange(listeners.EnumerateArray().Select(static listener => listener.Clone()));

        // One that another build does not have counts as 0.
        long Read(string name) => document.RootElement.TryGetProperty(name, out var value) ? value.GetInt64() : 0;
    }
}
