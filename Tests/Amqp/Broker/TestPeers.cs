using System.Collections.Concurrent;
using OrleansMq.Hosting;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>The gateways of several brokers in this process, which a test ends and keeps from answering. The incarnation of broker 2 is
/// <c>i2</c>.</summary>
internal sealed class TestPeers : IGatewayPeers
{
    private readonly ConcurrentDictionary<string, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>> _answers = new();
    private int _questions;

    /// <summary>Whether other brokers have a build that takes questions.</summary>
    public bool TakeQuestions { get; set; } = true;

    /// <summary>Returns whether other brokers have a build that reads queues in the memory of others; null for no answer.</summary>
    public Func<Task<bool?>> ReadsMemory { get; set; } = static () => Task.FromResult<bool?>(true);

    /// <summary>The incarnations that have ended.</summary>
    public ConcurrentDictionary<string, bool> Ended { get; } = new();

    /// <summary>Called with each answer. Returns whether it arrives.</summary>
    public Func<Task<bool>> Answering { get; set; } = static () => Task.FromResult(true);

    /// <summary>Called with each question. Returns whether it arrives.</summary>
    public Func<string, bool> Asking { get; set; } = static _ => true;

    /// <summary>Called with each question that has arrived, once the gateway has begun to answer.</summary>
    public Action<string, ReadOnlyMemory<byte>> Arrived { get; set; } = static (_, _) => { };

    /// <summary>Whether each question comes twice.</summary>
    public bool AskTwice { get; set; }

    /// <summary>The bytes of the largest answer.</summary>
    public int LargestAnswer { get; private set; }

    /// <summary>How many questions were asked.</summary>
    public int Questions => Volatile.Read(ref _questions);

    /// <inheritdoc/>
    public void Receive(string gateway, Func<ReadOnlyMemory<byte>, bool>? handler)
    {
    }

    /// <inheritdoc/>
    public Task<bool> SendAsync(int broker, string gateway, ReadOnlyMemory<byte> message) => Task.FromResult(false);

    /// <inheritdoc/>
    public void Answer(string gateway, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>? handler)
    {
        if (handler is null)
            _answers.TryRemove(gateway, out _);
        else
            _answers[gateway] = handler;
    }

    /// <inheritdoc/>
    public async Task<ReadOnlyMemory<byte>?> AskAsync(int broker, string gateway, ReadOnlyMemory<byte> question)
    {
        Interlocked.Increment(ref _questions);
        if (!_answers.TryGetValue(gateway, out var handler) || !Asking(gateway))
            return null;
        var answering = handler(question);
        Arrived(gateway, question);
        var answer = await answering;
        lock (_answers)
            LargestAnswer = Math.Max(LargestAnswer, answer.Length);
        if (AskTwice)
            await handler(question);
        return await Answering() ? answer : (ReadOnlyMemory<byte>?)null;
    }

    /// <inheritdoc/>
    public Task<bool?> HasGatewayAsync(int broker, string gateway) => !TakeQuestions ? Task.FromResult<bool?>(null)
        : GatewayFeatures.All.Contains(gateway) ? ReadsMemory() : Task.FromResult<bool?>(_answers.ContainsKey(gateway));

    /// <inheritdoc/>
    public int? BrokerOf(string incarnation) => HasEnded(incarnation) ? null : int.Parse(incarnation[1..],
        System.Globalization.CultureInfo.InvariantCulture);

    /// <inheritdoc/>
    public bool HasEnded(string incarnation) => Ended.ContainsKey(incarnation);
}
