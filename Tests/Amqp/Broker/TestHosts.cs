using System.Collections.Immutable;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Virtual hosts whose commands a test holds, or fails, and whose image it keeps back.</summary>
internal sealed class TestHosts(IVirtualHosts inner) : IVirtualHosts
{
    public event Action<VirtualHostChange> Changed
    {
        add => inner.Changed += value;
        remove => inner.Changed -= value;
    }

    /// <summary>Called before each command.</summary>
    public Func<VirtualHostCommand, Task> Before { get; set; } = static _ => Task.CompletedTask;

    /// <summary>The image that is found; null: the newest.</summary>
    public VirtualHostImage? Image { get; set; }

    /// <summary>Called before the owner is asked for what is newer.</summary>
    public Action Refreshing { get; set; } = static () => { };

    /// <summary>Whether several brokers serve them.</summary>
    public bool IsShared { get; set; } = inner.IsShared;

    public UserDirectory Users => inner.Users;

    public ImmutableArray<string> Names => inner.Names;

    public VirtualHostImage? Find(string name) => Image ?? inner.Find(name);

    public ValueTask<VirtualHostImage?> RefreshAsync(string name, CancellationToken cancellationToken = default)
    {
        Refreshing();
        return inner.RefreshAsync(name, cancellationToken);
    }

    public async ValueTask<VirtualHostAnswer> SendAsync(string virtualHost, VirtualHostCommand command,
        CancellationToken cancellationToken = default)
    {
        await Before(command);
        return await inner.SendAsync(virtualHost, command, cancellationToken);
    }

    public ValueTask<VirtualHostAnswer> AdministerAsync(VirtualHostAdministration command, CancellationToken cancellationToken = default) =>
        inner.AdministerAsync(command, cancellationToken);
}
