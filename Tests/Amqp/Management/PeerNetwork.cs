using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Hosting;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>Brokers of this process that know each other, and ask each other by calls.</summary>
/// <param name="brokers">Their numbers.</param>
internal sealed class PeerNetwork(params int[] brokers)
{
    private readonly ConcurrentDictionary<(int Broker, string Gateway), Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>> _answers =
        new();

    /// <summary>The questions, and what they were answered.</summary>
    public ConcurrentQueue<(int Asked, string Question, string? Answer)> Traffic { get; } = new();

    /// <summary>Answers instead of the brokers; null: they do themselves.</summary>
    public Func<int, ReadOnlyMemory<byte>?>? Instead { get; set; }

    /// <summary>With <see cref="Instead"/>, whether brokers say that they have the gateway; null: they do not answer.</summary>
    public bool? Has { get; set; }

    /// <summary>The brokers that are registered, and do not run.</summary>
    public int[] Dead { get; set; } = [];

    private int[] Brokers => brokers;

    public IGatewayPeers PeersOf(int broker) => new Peer(this, broker);

    public IClusterMetadata MetadataOf(IClusterMetadata own) => new Metadata(this, own);

    /// <summary>Asks as a broker of any build may.</summary>
    public Task<ReadOnlyMemory<byte>> AskAsync(int broker, string gateway, string question) =>
        _answers[(broker, gateway)](Encoding.UTF8.GetBytes(question));

    private async Task<ReadOnlyMemory<byte>?> AskAsync(int broker, string gateway, ReadOnlyMemory<byte> question)
    {
        ReadOnlyMemory<byte>? answer = null;
        if (Instead is { } instead)
            answer = instead(broker);
        else if (_answers.TryGetValue((broker, gateway), out var handler))
            answer = await handler(question);
        Traffic.Enqueue((broker, Encoding.UTF8.GetString(question.Span),
            answer is { } bytes ? Encoding.UTF8.GetString(bytes.Span) : null));
        return answer;
    }

    private sealed class Peer(PeerNetwork network, int self) : IGatewayPeers
    {
        public void Receive(string gateway, Func<ReadOnlyMemory<byte>, bool>? handler)
        {
        }

        public Task<bool> SendAsync(int broker, string gateway, ReadOnlyMemory<byte> message) => Task.FromResult(false);

        public void Answer(string gateway, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>? handler)
        {
            if (handler is null)
                network._answers.TryRemove((self, gateway), out _);
            else
                network._answers[(self, gateway)] = handler;
        }

        public Task<ReadOnlyMemory<byte>?> AskAsync(int broker, string gateway, ReadOnlyMemory<byte> question)
        {
            Assert.NotEqual(self, broker);
            return network.AskAsync(broker, gateway, question);
        }

        public Task<bool?> HasGatewayAsync(int broker, string gateway) => Task.FromResult(network.Instead is null
            ? network._answers.ContainsKey((broker, gateway)) : network.Has);

        public int? BrokerOf(string incarnation) => null;

        public bool HasEnded(string incarnation) => false;
    }

    private sealed class Metadata(PeerNetwork network, IClusterMetadata own) : IClusterMetadata
    {
        public ClusterImage Image => own.Image with
        {
            Brokers = own.Image.Brokers.SetItems(network.Brokers.Select(id => KeyValuePair.Create(id,
                new ImageBroker(new BrokerRegistration { BrokerId = id }, IsAlive: !network.Dead.Contains(id))))),
        };

        public event Action<ClusterImage>? Changed
        {
            add => own.Changed += value;
            remove => own.Changed -= value;
        }

        public ClusterDescription Describe() => own.Describe();

        public Task<ClusterImage> WaitForNewerAsync(long version, CancellationToken cancellationToken) =>
            own.WaitForNewerAsync(version, cancellationToken);
    }
}
