using System.Reflection;

namespace OrleansMq.Tests.Cluster.PublicApi;

/// <summary>The public API of the packages that need Orleans, and of the gateways, is that of the text files beside this one.</summary>
public sealed class PublicApiTests
{
    [Theory]
    [InlineData("OrleansMq.Client.Orleans")]
    [InlineData("OrleansMq.Connections")]
    [InlineData("OrleansMq.Gateways")]
    [InlineData("OrleansMq.Gateways.Amqp")]
    [InlineData("OrleansMq.Gateways.Http")]
    [InlineData("OrleansMq.Gateways.Kafka")]
    [InlineData("OrleansMq.Grains")]
    [InlineData("OrleansMq.Grains.Interfaces")]
    [InlineData("OrleansMq.Orleans.Consumers")]
    [InlineData("OrleansMq.Orleans.Outbox")]
    [InlineData("OrleansMq.Orleans.Streams")]
    [InlineData("OrleansMq.Orleans.Timers")]
    [InlineData("OrleansMq.PostgreSql")]
    public void Public_api_is_the_reviewed_one(string assembly) => Shared.PublicApi.Check(Assembly.Load(assembly));
}
