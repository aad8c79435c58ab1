using System.Collections.Immutable;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;

namespace OrleansMq.VirtualHosts;

/// <summary>A broker's way to the owner of the cluster's virtual hosts.</summary>
internal interface IVirtualHostsLink
{
    /// <summary>Carries a request out at the owner, wherever it is. Repeated while it cannot be reached: commands are idempotent.</summary>
    /// <returns>The reply; not decided if the owner cannot be reached in time.</returns>
    Task<VirtualHostReply> AskAsync(VirtualHostRequest request, CancellationToken cancellationToken);
}

/// <summary>
/// The virtual hosts of a cluster as one broker has them: an image that the owner pushes, and commands that go to the owner. Thread safe.
/// <para>
/// <b>State.</b> The image, and the epoch below which nothing is taken. Versions of images never fall: an owner that another has superseded
/// changes nothing here. <b>Failures.</b> A push that is lost is repeated by the owner; one that does not fit is answered with the version
/// that is here, and the owner sends the whole image.
/// </para>
/// </summary>
/// <param name="link">The way to the owner.</param>
/// <param name="log">The log.</param>
/// <param name="time">The clock; null: the system's.</param>
internal sealed class ClusterVirtualHosts(IVirtualHostsLink link, EngineLog log, TimeProvider? time = null) : IVirtualHosts
{
    // The owner answers within milliseconds. An answer that is lost between two silos is missed after many seconds.
    private static readonly TimeSpan Late = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private VirtualHostsImage _image = VirtualHostsImage.Empty;
    private long _lowest;
    private SharedRun<long>? _newest;

    /// <inheritdoc/>
    public event Action<VirtualHostChange>? Changed;

    /// <summary>The image.</summary>
    public VirtualHostsImage Image => Volatile.Read(ref _image);

    /// <inheritdoc/>
    public bool IsShared => true;

    /// <inheritdoc/>
    public UserDirectory Users => Image.Users;

    /// <inheritdoc/>
    public ImmutableArray<string> Names => [.. Image.Hosts.Keys];

    /// <inheritdoc/>
    public VirtualHostImage? Find(string name) => Image.Hosts.GetValueOrDefault(name);

    /// <inheritdoc/>
    public async ValueTask<VirtualHostImage?> RefreshAsync(string name, CancellationToken cancellationToken = default)
    {
        await CatchUpAsync(cancellationToken).ConfigureAwait(false);
        return Find(name);
    }

    /// <inheritdoc/>
    public ValueTask<VirtualHostAnswer> SendAsync(string virtualHost, VirtualHostCommand command,
        CancellationToken cancellationToken = default) =>
        AskAsync(new VirtualHostRequest { VirtualHost = virtualHost, Command = command }, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<VirtualHostAnswer> AdministerAsync(VirtualHostAdministration command, CancellationToken cancellationToken = default) =>
        AskAsync(new VirtualHostRequest { Administration = command }, cancellationToken);

    /// <summary>Takes what the owner has pushed.</summary>
    /// <returns>The version that this broker has afterwards; a higher one than any of the owner's if that is superseded.</returns>
    public long Apply(VirtualHostsDelta delta)
    {
        lock (_lock)
        {
            if (delta.To <= _lowest)
                return _lowest;
            if (delta.To <= _image.Version || (delta.From != 0 && delta.From != _image.Version))
                return _image.Version;
            var changes = new List<VirtualHostChange>();
            Volatile.Write(ref _image, delta.ApplyTo(_image, changes));
            // In order, and before the owner learns that it is here.
            foreach (var change in changes)
                Raise(change);
            return _image.Version;
        }
    }

    /// <summary>Takes no image of an owner before this epoch any more.</summary>
    /// <returns>The newest image.</returns>
    public VirtualHostsImage Fence(int epoch)
    {
        lock (_lock)
        {
            _lowest = Math.Max(_lowest, VirtualHostsImage.FirstVersion(epoch));
            return _image;
        }
    }

    /// <summary>Reads what the owner has beyond this broker's image. One question is on its way at a time: calls that come meanwhile share
    /// the next, so that each has what was answered before it. Where an answer is late, the next question goes beside it.</summary>
    /// <exception cref="BrokerException">It cannot be reached in time.</exception>
    public Task CatchUpAsync(CancellationToken cancellationToken)
    {
        var newest = LazyInitializer.EnsureInitialized(ref _newest, () => new SharedRun<long>(AskForNewerAsync, Late, time));
        if (ExecutionContext.IsFlowSuppressed())
            return newest.ReadAsync(cancellationToken);
        // Not in the context of one caller's request: others share the answer.
        using (ExecutionContext.SuppressFlow())
            return newest.ReadAsync(cancellationToken);
    }

    // The answer is a whole image. One that comes late, behind a newer one, is not taken.
    private async Task<long> AskForNewerAsync()
    {
        var reply = await link.AskAsync(new VirtualHostRequest { Known = Image.Version }, CancellationToken.None).ConfigureAwait(false);
        return reply.DemandDecided().Newer is { } newer ? Apply(newer) : Image.Version;
    }

    private async ValueTask<VirtualHostAnswer> AskAsync(VirtualHostRequest request, CancellationToken cancellationToken)
    {
        var reply = await link.AskAsync(request, cancellationToken).ConfigureAwait(false);
        if (Image.Version < reply.Version)
            await CatchUpAsync(cancellationToken).ConfigureAwait(false); // The push was not answered in time.
        return reply.Demand();
    }

    private void Raise(VirtualHostChange change)
    {
        try
        {
            Changed?.Invoke(change);
        }
        catch (Exception fault) // The image has changed, whatever a handler makes of it.
        {
            log.Write(EngineLogLevel.Error, $"A handler of changes of the virtual host '{change.VirtualHost}' failed: {fault.Message}",
                fault);
        }
    }
}
