using OrleansMq.Diagnostics;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Topics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Grains.VirtualHosts;

/// <summary>The owner's way to the brokers: it takes images to them, and asks for those that an earlier owner has left.</summary>
internal sealed class VirtualHostsReach(SiloBroker broker, ReplicaServices brokers, ClusterMembership membership)
    : IImageTransport<VirtualHostsImage>
{
    // Longer than an answer takes, shorter than the detection of a death.
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(2);

    /// <inheritdoc/>
    public string Noun => "virtual hosts";

    /// <inheritdoc/>
    public long VersionOf(VirtualHostsImage image) => image.Version;

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> Write(VirtualHostsImage? before, VirtualHostsImage after) =>
        VirtualHostsDelta.Between(before, after).ToBytes();

    /// <inheritdoc/>
    public Task<long> PushAsync(int to, ReadOnlyMemory<byte> written) => brokers.Of(to).PushVirtualHostsAsync(written);

    /// <summary>Creates the publisher of an owner.</summary>
    public IVirtualHostsPublisher CreatePublisher() =>
        new Publisher(new ImagePublisher<VirtualHostsImage>(this, membership, broker.Options.Log), membership);

    /// <summary>Demands that the live brokers take nothing from earlier owners, and returns the newest image of each virtual host. Brokers
    /// that do not answer in time are left out.</summary>
    public async Task<VirtualHostsImage> FenceAsync(int epoch)
    {
        var images = await Task.WhenAll(membership.Brokers.Silos.Keys.Select(id => FenceAsync(id, epoch))).ConfigureAwait(false);
        var hosts = VirtualHostsImage.Empty.Hosts;
        foreach (var host in images.OfType<VirtualHostsImage>().SelectMany(image => image.Hosts.Values))
        {
            if (!hosts.TryGetValue(host.Name, out var known) || known.Version < host.Version)
                hosts = hosts.SetItem(host.Name, host);
        }
        return VirtualHostsImage.Empty with { Hosts = hosts };
    }

    private async Task<VirtualHostsImage?> FenceAsync(int id, int epoch)
    {
        try
        {
            var whole = await brokers.Of(id).FenceVirtualHostsAsync(epoch)
                .WaitAsync(AnswerTime, broker.Options.TimeProvider).ConfigureAwait(false);
            return whole.IsEmpty ? null : VirtualHostsDelta.Parse(whole.Span).ApplyTo(VirtualHostsImage.Empty, []);
        }
        catch (Exception unanswered)
            when (unanswered is TimeoutException or OrleansException or BrokerException or InvalidDataException)
        {
            broker.Log(EngineLogLevel.Warning, $"Broker {id} did not tell which virtual hosts it has.", unanswered);
            return null;
        }
    }

    private sealed class Publisher : IVirtualHostsPublisher
    {
        private readonly ImagePublisher<VirtualHostsImage> _images;
        private readonly ClusterMembership _membership;
        private VirtualHostsImage? _newest;

        public Publisher(ImagePublisher<VirtualHostsImage> images, ClusterMembership membership)
        {
            (_images, _membership) = (images, membership);
            membership.Changed += PublishAgain;
        }

        public event Action? Superseded
        {
            add => _images.Superseded += value;
            remove => _images.Superseded -= value;
        }

        public event Action? BrokersChanged
        {
            add => _membership.Changed += value;
            remove => _membership.Changed -= value;
        }

        public bool HasEnded(string incarnation) => _membership.IsDead(incarnation);

        public void Publish(VirtualHostsImage image)
        {
            Volatile.Write(ref _newest, image);
            _images.Publish(image);
        }

        public Task WaitAsync(long version) => _images.WaitAsync(version, AnswerTime);

        public async ValueTask DisposeAsync()
        {
            _membership.Changed -= PublishAgain;
            await _images.DisposeAsync().ConfigureAwait(false);
        }

        // A broker may have joined.
        private void PublishAgain()
        {
            if (Volatile.Read(ref _newest) is { } newest)
                _images.Publish(newest);
        }
    }
}
