using System.Collections.Concurrent;
using OrleansMq.Brokers;
using OrleansMq.Client.Http;

namespace OrleansMq.Tests.Chaos.Load;

/// <summary>
/// A cluster over HTTP by way of whichever of its brokers answers: after an error that may be retried the next request goes to the next
/// one. Any broker answers for any partition.
/// </summary>
internal sealed class RotatingBroker(Func<IReadOnlyList<Uri>> addresses, TimeSpan requestTimeout) : IBroker, IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1), UseCookies = false }) { Timeout = Timeout.InfiniteTimeSpan };
    private readonly ConcurrentDictionary<Uri, HttpBroker> _brokers = new();

    // Two brokers must not have batches of one producer at the same time: the later one might be faster.
    private readonly ConcurrentDictionary<TopicPartition, SemaphoreSlim> _turns = new();
    private int _turn;

    /// <summary>One of the brokers, without a try at another: for a single append that is not to wait for others.</summary>
    public IBroker Any()
    {
        var known = addresses();
        return new HttpBroker(_http, known[Random.Shared.Next(known.Count)], new HttpBrokerOptions { RequestTimeout = requestTimeout });
    }

    public async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default)
    {
        var turn = _turns.GetOrAdd(partition, static _ => new SemaphoreSlim(1, 1));
        await turn.WaitAsync(cancellationToken);
        try
        {
            var (broker, mark) = Current();
            var result = await broker.ProduceAsync(partition, batch, acks, cancellationToken);
            Judge(result.Error, mark);
            return result;
        }
        finally
        {
            turn.Release();
        }
    }

    public async ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
    {
        var (broker, mark) = Current();
        var result = await broker.FetchAsync(request, cancellationToken);
        Judge(result.Error, mark);
        return result;
    }

    public async ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default)
    {
        var (broker, mark) = Current();
        var result = await broker.FindOffsetAsync(partition, spec, cancellationToken);
        Judge(result.Error, mark);
        return result;
    }

    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.CreateTopicAsync(topic, cancellationToken));

    public async ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => await AskAsync(async broker =>
    {
        await broker.DeleteTopicAsync(topic, cancellationToken);
        return true;
    });

    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.ListTopicsAsync(cancellationToken));

    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.DescribeTopicAsync(topic, cancellationToken));

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.GetTopicAsync(topic, cancellationToken));

    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs, CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.AlterTopicAsync(topic, configs, cancellationToken));

    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.AddPartitionsAsync(topic, totalCount, cancellationToken));

    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.DeleteRecordsAsync(partition, beforeOffset, cancellationToken));

    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.InitProducerIdAsync(cancellationToken));

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        AskAsync(broker => broker.DescribeClusterAsync(cancellationToken));

    public void Dispose() => _http.Dispose();

    private async ValueTask<T> AskAsync<T>(Func<IBroker, ValueTask<T>> ask)
    {
        var (broker, mark) = Current();
        try
        {
            return await ask(broker);
        }
        catch (BrokerException e)
        {
            Judge(e.Code, mark);
            throw;
        }
    }

    private (IBroker Broker, int Mark) Current()
    {
        var mark = Volatile.Read(ref _turn);
        var known = addresses();
        var broker = _brokers.GetOrAdd(known[(int)((uint)mark % known.Count)],
            address => new HttpBroker(_http, address, new HttpBrokerOptions { RequestTimeout = requestTimeout }));
        return (broker, mark);
    }

    /// <summary>Of many requests that failed at one broker, one turns away from it.</summary>
    private void Judge(ErrorCode error, int mark)
    {
        if (error.Action() == ErrorAction.Retry)
            Interlocked.CompareExchange(ref _turn, mark + 1, mark);
    }
}
