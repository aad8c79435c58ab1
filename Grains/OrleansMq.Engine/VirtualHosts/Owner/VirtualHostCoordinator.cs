using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;

namespace OrleansMq.VirtualHosts;

/// <summary>The brokers, for the owner of their virtual hosts: they receive every new image.</summary>
internal interface IVirtualHostsPublisher : IAsyncDisposable
{
    /// <summary>Occurs when a broker may have died.</summary>
    event Action? BrokersChanged;

    /// <summary>Occurs when a broker has an image of a later owner.</summary>
    event Action? Superseded;

    /// <summary>Publishes an image. Called with one at a time, in the order of their versions.</summary>
    void Publish(VirtualHostsImage image);

    /// <summary>Completes when every live broker has the version, or after a limit. A broker that does not answer gets it later.</summary>
    Task WaitAsync(long version);

    /// <summary>Whether a broker's incarnation has ended for good.</summary>
    bool HasEnded(string incarnation);
}

/// <summary>
/// The owner of all virtual hosts of a cluster, for the brokers: it carries their commands out and publishes the images. It answers once
/// every live broker that answers has the image with the outcome, so that the client of another broker may rely on it. Where a
/// broker has died, it ends the connections that the broker had: their exclusive queues and consumers. Thread safe.
/// </summary>
internal sealed class VirtualHostCoordinator : ICoordinator
{
    // A command of a broker that died may come later than its death.
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(15);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopped = new();
    private readonly SemaphoreSlim _due = new(1, 1);
    private readonly VirtualHostOwnerOptions _options;
    private readonly VirtualHostOwners _owners;
    private readonly IVirtualHostsPublisher _publisher;
    private VirtualHostsImage _image;
    private Task _ending = Task.CompletedTask;
    private volatile bool _isClosed;

    private VirtualHostCoordinator(VirtualHostOwners owners, IVirtualHostsPublisher publisher, VirtualHostOwnerOptions options)
    {
        (_owners, _publisher, _options) = (owners, publisher, options);
        _image = VirtualHostsImage.Empty with { Version = VirtualHostsImage.FirstVersion(owners.Epoch) };
    }

    /// <inheritdoc/>
    event Action? ICoordinator.Vacated
    {
        add { }
        remove { }
    }

    /// <inheritdoc/>
    public bool IsClosed => _isClosed || _owners.IsLost;

    /// <inheritdoc/>
    public bool IsVacant => false;

    /// <summary>The newest image.</summary>
    public VirtualHostsImage Image
    {
        get
        {
            lock (_lock)
                return _image;
        }
    }

    /// <summary>Claims all virtual hosts.</summary>
    /// <inheritdoc cref="VirtualHostOwners.OpenAsync(IStateStore, VirtualHostOwnerOptions, Func{int, Task{VirtualHostsImage}})"/>
    public static async Task<VirtualHostCoordinator> OpenAsync(IStateStore store, VirtualHostOwnerOptions options,
        Func<int, Task<VirtualHostsImage>> findNewest, IVirtualHostsPublisher publisher)
    {
        var owners = await VirtualHostOwners.OpenAsync(store, options with { IsShared = true }, findNewest).ConfigureAwait(false);
        var coordinator = new VirtualHostCoordinator(owners, publisher, options);
        publisher.Superseded += () => coordinator._isClosed = true;
        owners.Changed += change => coordinator.Update(image => image with
        {
            Hosts = change.After is null ? image.Hosts.Remove(change.VirtualHost) : coordinator.HostsOf(image, change.VirtualHost),
        });
        owners.UsersChanged += () => coordinator.Update(image => image with { Users = owners.Users });
        coordinator.Update(image => image with
        {
            Users = owners.Users,
            Hosts = image.Hosts.SetItems(owners.Names.Select(owners.Find).OfType<VirtualHostImage>()
                .Select(static host => KeyValuePair.Create(host.Name, host))),
        });
        publisher.BrokersChanged += coordinator.CheckConnections;
        coordinator._ending = Task.Run(coordinator.EndConnectionsAsync);
        return coordinator;
    }

    /// <inheritdoc/>
    public async ValueTask<object> AskAsync(ICoordinatorRequest body, CancellationToken cancellationToken = default)
    {
        var reply = await CarryOutAsync((VirtualHostRequest)body, cancellationToken).ConfigureAwait(false);
        if (reply.Answer is not null)
            await _publisher.WaitAsync(reply.Version).ConfigureAwait(false);
        return !IsClosed ? reply : body.Refuse(ErrorCode.NotCoordinator, "Another broker owns the virtual hosts: retry.");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _isClosed = true;
        _publisher.BrokersChanged -= CheckConnections;
        await _stopped.CancelAsync().ConfigureAwait(false);
        await _owners.DisposeAsync().ConfigureAwait(false);
        await _ending.ConfigureAwait(false);
        await _publisher.DisposeAsync().ConfigureAwait(false);
    }

    private async Task<VirtualHostReply> CarryOutAsync(VirtualHostRequest request, CancellationToken cancellationToken)
    {
        try
        {
            if (request.Known is { } known)
            {
                await _owners.ConfirmAsync(cancellationToken).ConfigureAwait(false);
                var newest = Image;
                return new VirtualHostReply
                {
                    Version = newest.Version,
                    Newer = newest.Version == known ? null : VirtualHostsDelta.Between(null, newest),
                };
            }
            var answer = request.Administration is { } administration
                ? await _owners.AdministerAsync(administration, cancellationToken).ConfigureAwait(false)
                : await _owners.SendAsync(request.VirtualHost, request.Command
                    ?? throw new BrokerException(ErrorCode.InvalidRequest, "The request has no command."), cancellationToken)
                    .ConfigureAwait(false);
            return new VirtualHostReply { Answer = answer, Version = Image.Version };
        }
        catch (AmqpRefusedException refused)
        {
            return new VirtualHostReply { Refusal = refused.Refusal, Version = Image.Version };
        }
        catch (FormatException fault)
        {
            return new VirtualHostReply { Fault = fault.Message, Version = Image.Version };
        }
        catch (BrokerException failure)
        {
            return new VirtualHostReply { Error = failure.Code, Message = failure.Message };
        }
    }

    private void CheckConnections()
    {
        try
        {
            _due.Release();
        }
        catch (SemaphoreFullException)
        {
            // A check is already due.
        }
    }

    private async Task EndConnectionsAsync()
    {
        try
        {
            while (!IsClosed)
            {
                await _due.WaitAsync(CheckInterval, _stopped.Token).ConfigureAwait(false);
                foreach (var host in Image.Hosts.Values)
                {
                    // Brokers first: clients wait for their queues to be declared elsewhere.
                    foreach (var connection in host.Topology.Connections.Where(HasEnded)
                        .OrderByDescending(static connection => connection.EndsWith('/')).ToArray())
                        await EndConnectionAsync(host.Name, connection).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // This owner ends.
        }
    }

    private bool HasEnded(string connection) =>
        ConnectionId.IncarnationOf(connection) is { Length: > 0 } incarnation && _publisher.HasEnded(incarnation);

    private async Task EndConnectionAsync(string host, string connection)
    {
        try
        {
            await _owners.SendAsync(host, new EndConnection(connection), _stopped.Token).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is BrokerException or AmqpRefusedException)
        {
            _options.Log.Write(EngineLogLevel.Warning,
                $"What connection {connection} had in virtual host '{host}' stays for now: {failure.Message}");
        }
    }

    // The owner's newest image: two changes may come in the other order.
    private ImmutableSortedDictionary<string, VirtualHostImage> HostsOf(VirtualHostsImage image, string name) =>
        _owners.Find(name) is { } host ? image.Hosts.SetItem(name, host) : image.Hosts;

    private void Update(Func<VirtualHostsImage, VirtualHostsImage> change)
    {
        lock (_lock)
        {
            var next = change(_image);
            if (ReferenceEquals(next.Users, _image.Users) && ReferenceEquals(next.Hosts, _image.Hosts) && _image.Hosts.Count > 0)
                return;
            _image = next with { Version = _image.Version + 1 };
            _publisher.Publish(_image);
        }
    }
}
