using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>The virtual hosts and users of AMQP, as one broker has them: images, which are read without waiting, and the owner, which
/// decides on every change. Thread safe.</summary>
internal interface IVirtualHosts
{
    /// <summary>Occurs after each change of an image, before the answer to the command that made it. Handlers return quickly.</summary>
    event Action<VirtualHostChange> Changed;

    /// <summary>Whether other brokers serve them, too.</summary>
    bool IsShared { get; }

    /// <summary>The users of this broker's newest image.</summary>
    UserDirectory Users { get; }

    /// <summary>The names of the virtual hosts that this broker has an image of, in ordinal order.</summary>
    ImmutableArray<string> Names { get; }

    /// <summary>Returns this broker's newest image of a virtual host; null if there is none, as far as this broker knows.</summary>
    VirtualHostImage? Find(string name);

    /// <summary>As <see cref="Find"/>, after this broker has asked the owner for what is newer. For what the image lacks, before a client
    /// is refused.</summary>
    /// <exception cref="BrokerException">The owner cannot be reached: retry.</exception>
    ValueTask<VirtualHostImage?> RefreshAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>Decides on a command at the owner. Completes once what is durable is stored, and this broker's image has it.</summary>
    /// <exception cref="AmqpRefusedException">The command is refused; nothing changed.</exception>
    /// <exception cref="BrokerException">The outcome is unknown: retry.</exception>
    ValueTask<VirtualHostAnswer> SendAsync(string virtualHost, VirtualHostCommand command, CancellationToken cancellationToken = default);

    /// <summary>Adds, changes and removes virtual hosts, users, permissions and policies, and imports definitions, by the same
    /// rules.</summary>
    /// <exception cref="AmqpRefusedException">The command is refused; nothing changed.</exception>
    /// <exception cref="FormatException">A value is not allowed; the message names it.</exception>
    /// <exception cref="BrokerException">The outcome is unknown: retry.</exception>
    ValueTask<VirtualHostAnswer> AdministerAsync(VirtualHostAdministration command, CancellationToken cancellationToken = default);
}

/// <summary>A broker's image of a virtual host. Never changes.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Version">Rises with every change, also where another owner takes over.</param>
/// <param name="Settings">Its settings, permissions and policies.</param>
/// <param name="Topology">Its exchanges, queues and bindings.</param>
/// <param name="Routes">Where its messages go.</param>
internal sealed record VirtualHostImage(string Name, long Version, VirtualHostSettings Settings, VirtualHostTopology Topology,
    RoutingTable Routes)
{
    /// <summary>Returns what a user may do.</summary>
    /// <param name="user">The user.</param>
    /// <param name="report">Takes texts for the log, where a pattern takes too long to match.</param>
    public UserAccess AccessOf(UserState user, Action<string>? report = null) =>
        new(user, Name, Settings.Permissions.GetValueOrDefault(user.Name), report);
}

/// <summary>The users of an image.</summary>
/// <param name="byName">The users.</param>
internal sealed class UserDirectory(ImmutableSortedDictionary<string, UserState> byName)
{
    /// <summary>No users.</summary>
    public static UserDirectory Empty { get; } =
        new(ImmutableSortedDictionary.Create<string, UserState>(StringComparer.Ordinal));

    /// <summary>The users by name.</summary>
    public ImmutableSortedDictionary<string, UserState> ByName { get; } = byName;

    /// <summary>Returns a user; null if there is none.</summary>
    public UserState? FindUser(string name) => ByName.GetValueOrDefault(name);
}

/// <summary>A change of a broker's image.</summary>
/// <param name="VirtualHost">The virtual host.</param>
/// <param name="Before">The image before; null if it was new.</param>
/// <param name="After">The image after; null if it was deleted.</param>
internal sealed record VirtualHostChange(string VirtualHost, VirtualHostImage? Before, VirtualHostImage? After)
{
    /// <summary>What changed, in order; null if the image was replaced as a whole.</summary>
    public ImmutableArray<TopologyEdit>? Edits { get; init; }

    /// <summary>Returns the queues that have ended: their consumers are cancelled.</summary>
    public IEnumerable<QueueState> EndedQueues() => Edits is { } edits
        ? edits.OfType<RemoveQueue>().Select(edit => edit.Queue)
        : Before?.Topology.Queues.Where(queue => After?.Topology.FindQueue(queue.Name)?.Id != queue.Id) ?? [];
}

/// <summary>The answer to an accepted command.</summary>
internal sealed record VirtualHostAnswer
{
    /// <summary>The version of the image that shows the outcome; 0 for commands that concern no single virtual host.</summary>
    public long Version { get; init; }

    /// <summary>Whether the command changed anything.</summary>
    public bool IsChanged { get; init; }

    /// <summary>The queue that was declared, found or deleted; null if there is none.</summary>
    public QueueState? Queue { get; init; }

    /// <summary>What an import left out, by its place in the file.</summary>
    public ImmutableArray<string> Ignored { get; init; } = [];
}

/// <summary>A command is refused: what the client's channel or connection is closed with.</summary>
internal sealed class AmqpRefusedException(AmqpRefusal refusal) : Exception(refusal.ReplyText)
{
    /// <summary>The refusal.</summary>
    public AmqpRefusal Refusal { get; } = refusal;
}
