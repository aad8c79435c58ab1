using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Access;

/// <summary>RabbitMQ's permissions by the kind of their resource, and users that have one of them, all but one, all or none. The patterns
/// of a permission name the tests' queues or exchanges.</summary>
internal static class AccessRights
{
    public const string ConfigureQueue = "configure queue";
    public const string WriteQueue = "write queue";
    public const string ReadQueue = "read queue";
    public const string ConfigureExchange = "configure exchange";
    public const string WriteExchange = "write exchange";
    public const string ReadExchange = "read exchange";
    public const string WriteTopic = "write topic";
    public const string ReadTopic = "read topic";

    /// <summary>The user that may open the virtual host, and nothing in it.</summary>
    public const string NoRight = "none";

    /// <summary>The user that has all permissions.</summary>
    public const string EveryRight = "all";

    /// <summary>The user that has all permissions, and no tag.</summary>
    public const string Untagged = "untagged";

    /// <summary>The password of each user.</summary>
    public const string Password = "p";

    /// <summary>The exchange whose routing keys are limited.</summary>
    public const string LimitedExchange = "x";

    private const string Queues = @"q|aliveness-test$|amq\.topic/";
    private const string Exchanges = @"x|amq\.default$";
    private const string NoName = "^$";

    /// <summary>All permissions.</summary>
    public static string[] All { get; } =
        [ConfigureQueue, WriteQueue, ReadQueue, ConfigureExchange, WriteExchange, ReadExchange, WriteTopic, ReadTopic];

    /// <summary>The tags of users of the management API.</summary>
    public static string[] Tags { get; } = ["management", "policymaker", "monitoring", "administrator"];

    /// <summary>The user that has this permission alone.</summary>
    public static string Only(string right) => $"only-{right.Replace(' ', '-')}";

    /// <summary>The user that has every permission but this.</summary>
    public static string AllBut(string right) => $"all-but-{right.Replace(' ', '-')}";

    /// <summary>The user that has this tag, and all permissions.</summary>
    public static string Entitled(string tag) => $"{tag}-entitled";

    /// <summary>The user that has this tag, and no permissions in the virtual host, so that it may not open it.</summary>
    public static string Stranger(string tag) => $"{tag}-stranger";

    /// <summary>How a user is refused that lacks a permission.</summary>
    public static string RefusalOf(string right) => $"{right.Replace(" ", " access to ")} '";

    /// <summary>Creates the users.</summary>
    public static async Task CreateUsersAsync(IVirtualHosts hosts)
    {
        await PutAsync(hosts, NoRight, [], "management");
        await PutAsync(hosts, EveryRight, All, "management");
        await PutAsync(hosts, Untagged, All);
        foreach (var right in All)
        {
            await PutAsync(hosts, Only(right), [right], "management");
            await PutAsync(hosts, AllBut(right), [.. All.Where(other => other != right)], "management");
        }
        foreach (var tag in Tags)
        {
            await PutAsync(hosts, Entitled(tag), All, tag);
            await PutUserAsync(hosts, Stranger(tag), tag);
        }
    }

    private static async Task PutAsync(IVirtualHosts hosts, string user, string[] rights, params string[] tags)
    {
        await PutUserAsync(hosts, user, tags);
        await hosts.AdministerAsync(new SetPermissions("/", user, NamesOf("configure"), NamesOf("write"), NamesOf("read")));
        await hosts.AdministerAsync(new SetTopicPermission("/", user, LimitedExchange,
            new TopicPermission(KeysOf(WriteTopic), KeysOf(ReadTopic))));

        SafePattern NamesOf(string verb) => SafePattern.Parse(
            (rights.Contains($"{verb} queue"), rights.Contains($"{verb} exchange")) switch
            {
                (true, true) => $"^({Queues}|{Exchanges})",
                (true, false) => $"^({Queues})",
                (false, true) => $"^({Exchanges})",
                (false, false) => NoName,
            });

        string KeysOf(string right) => rights.Contains(right) ? ".*" : NoName;
    }

    private static async Task PutUserAsync(IVirtualHosts hosts, string user, params string[] tags) =>
        await hosts.AdministerAsync(new PutUser(user, PasswordHash.Create(Password, "salt"u8), PasswordHash.Sha256, [.. tags]));
}
