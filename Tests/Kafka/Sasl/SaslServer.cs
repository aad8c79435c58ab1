using System.Net;
using OrleansMq.Access;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Security;
using OrleansMq.Tests.Kafka.Connections;

namespace OrleansMq.Tests.Kafka.Sasl;

/// <summary>Brokers whose Kafka listener asks for SASL, and where only rules allow something.</summary>
internal static class SaslServer
{
    /// <summary>The password of <c>admin</c>, who may do everything.</summary>
    public const string AdminPassword = "admin, the =password";

    private static SecurityOptions Security { get; } =
        new() { Authorization = AuthorizationMode.Enforce, SuperUsers = ["User:admin"] };

    /// <summary>Starts a broker with the user <c>admin</c>.</summary>
    public static async Task<KafkaServer> StartAsync(Func<KafkaGatewayOptions, KafkaGatewayOptions>? change = null,
        Func<SecurityOptions, SecurityOptions>? secure = null)
    {
        var server = await KafkaServer.StartAsync(options =>
        {
            options = options with
            {
                Listeners = [new KafkaListener { Name = "CLIENTS", Listen = new IPEndPoint(IPAddress.Loopback, 0),
                    Protocol = SecurityProtocol.SaslPlaintext }],
            };
            return change?.Invoke(options) ?? options;
        }, security: secure?.Invoke(Security) ?? Security);
        await server.AddUserAsync("admin", AdminPassword);
        return server;
    }

    /// <summary>Creates a user, or gives it another password.</summary>
    public static async Task AddUserAsync(this KafkaServer server, string user, string password) =>
        await server.Broker.Security.AlterUserAsync(BrokerSecurity.OfPassword(user, password));

    /// <summary>Allows a user operations on a resource.</summary>
    public static async Task AllowAsync(this KafkaServer server, string user, ResourceType type, string name,
        params AccessOperation[] operations) => await server.Broker.Security.CreateAclsAsync([.. operations.Select(operation =>
            new AclRule(type, AclPattern.Literal, name, $"User:{user}", "*", operation, AclPermission.Allow))]);
}
