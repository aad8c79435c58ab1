using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.State;

namespace OrleansMq.VirtualHosts;

/// <summary>Receives every new image of all virtual hosts, for the brokers.</summary>
internal interface IVirtualHostsPublisher : IAsyncDisposable
{
    /// <summary>Occurs when a broker has an image of a later owner.</summary>
    event Action? Superseded;

    /// <summary>Publishes an image. Called with one at a time, in the order of their versions.</summary>
    void Publish(VirtualHostsImage image);

    /// <summary>Completes when every live broker has the version, or after a limit. A broker that does not answer gets it later.</summary>
    Task WaitAsync(long version);
}

/// <summary>
/// The owner of all virtual hosts of a cluster, for the brokers: it carries their commands out and publishes the images. It answers once
/// every live broker that answers has the image with the outcome, so that a client may tell another one, who uses another broker. Thread
/// safe.
/// </summary>
internal sealed class VirtualHostCoordinator : ICoordinator
{
    private readonly Lock _lock = new();
    private readonly VirtualHostOwners _owners;
    private readonly IVirtualHostsPublisher _publisher;
    private VirtualHostsImage _image;
    private volatile bool _isClosed;

    private VirtualHostCoordinator(VirtualHostOwners owners, IVirtualHostsPublisher publisher)
    {
        (_owners, _publisher) = (owners, publisher);
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
        var coordinator = new VirtualHostCoordinator(owners, publisher);
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
        await _owners.DisposeAsync().ConfigureAwait(false);
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
