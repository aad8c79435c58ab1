using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Client.Consuming;

namespace OrleansMq.Tests.Client.Requests;

/// <summary>A broker with a topic of requests and one of replies, a clock that a test moves, and the requests as they came.</summary>
internal sealed class RequestFixture : IAsyncDisposable
{
    private readonly TestBroker _broker;
    private readonly IPartitionReader<string, string> _requests;

    private RequestFixture(TestBroker broker, ManualTimeProvider clock)
    {
        (_broker, Clock) = (broker, clock);
        Faults = new GroupedBroker(broker.Broker, broker.Broker.Groups);
        Client = new OrleansMqClient(Faults, new()
        {
            Producer = new() { TimeProvider = clock },
            Reader = new() { TimeProvider = clock },
        });
        _requests = broker.Client.CreatePartitionReader<string, string>();
        _requests.Assign(new TopicPartition("prices", 0), ReadFrom.Earliest);
    }

    public static TopicPartition Replies { get; } = new("prices-replies", 0);

    public ManualTimeProvider Clock { get; }

    /// <summary>The broker of <see cref="Client"/>, which misbehaves on cue.</summary>
    public GroupedBroker Faults { get; }

    public OrleansMqClient Client { get; }

    /// <summary>A client of the broker without faults.</summary>
    public OrleansMqClient Other => _broker.Client;

    public static async Task<RequestFixture> StartAsync(int replyPartitions = 1)
    {
        var clock = new ManualTimeProvider();
        var broker = await TestBroker.StartAsync(new() { TimeProvider = clock });
        await broker.Client.Admin.CreateTopicAsync("prices", 1);
        await broker.Client.Admin.CreateTopicAsync("prices-replies", replyPartitions);
        return new RequestFixture(broker, clock);
    }

    public IRequester<string, string, string> CreateRequester(TimeSpan? timeout = null) => CreateRequester<string>(timeout);

    public IRequester<string, string, TReply> CreateRequester<TReply>(TimeSpan? timeout = null) =>
        Client.CreateRequester<string, string, TReply>(new()
        {
            Topic = "prices",
            ReplyTopic = "prices-replies",
            Timeout = timeout ?? TimeSpan.FromSeconds(30),
        });

    /// <summary>Reads the next request.</summary>
    public Task<ConsumeResult<string, string>> NextAsync() => _requests.ReadAsync().SoonAsync();

    /// <summary>Writes a reply as a client of another protocol would.</summary>
    public async Task ReplyAsync(ConsumeResult<string, string> request, string reply)
    {
        await using var producer = Other.CreateProducer<Ignore, string>();
        await producer.SendAsync(new("prices-replies", default, reply)
        {
            Partition = int.Parse(HeaderOf(request, RequestHeaders.ReplyPartition)!, System.Globalization.CultureInfo.InvariantCulture),
            Headers = new[] { RecordHeaders.Text(RequestHeaders.CorrelationId, HeaderOf(request, RequestHeaders.CorrelationId)) },
        });
    }

    public static string? HeaderOf(ConsumeResult<string, string> record, string name) =>
        record.Headers.SingleOrDefault(header => header.Name() == name).TextValue();

    public async ValueTask DisposeAsync()
    {
        await _requests.DisposeAsync();
        await _broker.DisposeAsync();
    }
}
