using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Hosting;

namespace OrleansMq.Grains.Replication;

/// <summary>The gateways of this broker that take messages and questions of others. Thread safe.</summary>
internal sealed class GatewayInbox
{
    /// <summary>The gateway that every broker has. A question to it is the name of a gateway, or of what gateways of a build can do
    /// (<see cref="GatewayFeatures"/>); the answer is 1 where the broker has it, or 0.</summary>
    public const string Directory = "";

    private readonly ConcurrentDictionary<string, Func<ReadOnlyMemory<byte>, bool>> _handlers = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>> _answers =
        new(StringComparer.Ordinal);

    public GatewayInbox() => _answers[Directory] = question => Task.FromResult<ReadOnlyMemory<byte>>(
        new[] { Has(Encoding.UTF8.GetString(question.Span)) ? (byte)1 : (byte)0 });

    /// <summary>Sets the handler of the messages to a gateway; null removes it.</summary>
    public void Set(string gateway, Func<ReadOnlyMemory<byte>, bool>? handler) => Set(_handlers, gateway, handler);

    /// <summary>Sets the handler of the questions to a gateway; null removes it.</summary>
    public void Set(string gateway, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>? handler) => Set(_answers, gateway, handler);

    /// <summary>Gives a message to a gateway. Returns its answer; false if there is no such gateway.</summary>
    public bool Take(string gateway, ReadOnlyMemory<byte> message) =>
        _handlers.TryGetValue(gateway, out var handler) && handler(message);

    /// <summary>Asks a gateway. Returns its answer; null if there is no such gateway.</summary>
    public async Task<ReadOnlyMemory<byte>?> AskAsync(string gateway, ReadOnlyMemory<byte> question) =>
        _answers.TryGetValue(gateway, out var handler) ? await handler(question).ConfigureAwait(false) : (ReadOnlyMemory<byte>?)null;

    private bool Has(string name) => GatewayFeatures.All.Contains(name) || _answers.ContainsKey(name);

    private static void Set<T>(ConcurrentDictionary<string, T> handlers, string gateway, T? handler)
        where T : class
    {
        if (handler is null)
            handlers.TryRemove(gateway, out _);
        else
            handlers[gateway] = handler;
    }
}

/// <summary>The gateways of other brokers, over <see cref="IReplicaService"/>.</summary>
internal sealed class GatewayPeers(GatewayInbox inbox, ReplicaServices brokers, ClusterMembership membership, SiloBroker broker)
    : IGatewayPeers
{
    /// <inheritdoc/>
    public void Receive(string gateway, Func<ReadOnlyMemory<byte>, bool>? handler) => inbox.Set(gateway, handler);

    /// <inheritdoc/>
    public async Task<bool> SendAsync(int to, string gateway, ReadOnlyMemory<byte> message)
    {
        try
        {
            return await brokers.Of(to).TellGatewayAsync(gateway, message).ConfigureAwait(false);
        }
        catch (Exception unanswered) when (unanswered is TimeoutException or OrleansException or BrokerException)
        {
            broker.Log(EngineLogLevel.Debug, $"Gateway '{gateway}' of broker {to} did not answer: {unanswered.Message}");
            return false;
        }
    }

    /// <inheritdoc/>
    public void Answer(string gateway, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>? handler) => inbox.Set(gateway, handler);

    /// <inheritdoc/>
    public async Task<ReadOnlyMemory<byte>?> AskAsync(int to, string gateway, ReadOnlyMemory<byte> question)
    {
        try
        {
            return await brokers.Of(to).AskGatewayAsync(gateway, question).ConfigureAwait(false);
        }
        catch (Exception unanswered)
        {
            // Whatever it is. A broker of an earlier build cannot read the question.
            broker.Log(EngineLogLevel.Debug, $"Gateway '{gateway}' of broker {to} did not answer: {unanswered.Message}");
            return null;
        }
    }

    /// <inheritdoc/>
    public async Task<bool?> HasGatewayAsync(int to, string gateway) =>
        await AskAsync(to, GatewayInbox.Directory, Encoding.UTF8.GetBytes(gateway)).ConfigureAwait(false) is { } answer
            ? answer.Span is [1] : null;

    /// <inheritdoc/>
    public int? BrokerOf(string incarnation) => membership.BrokerOfIncarnation(incarnation);

    /// <inheritdoc/>
    public bool HasEnded(string incarnation) => membership.IsDead(incarnation);
}
