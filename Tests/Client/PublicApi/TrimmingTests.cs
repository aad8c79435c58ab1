using System.Reflection;

namespace OrleansMq.Tests.Client.PublicApi;

/// <summary>Packages that a trimmed program or one with native code may use. Their build runs the analyzers of both.</summary>
public sealed class TrimmingTests
{
    [Theory]
    [InlineData("OrleansMq.Client")]
    [InlineData("OrleansMq.Client.OpenTelemetry")]
    [InlineData("OrleansMq.Compression")]
    [InlineData("OrleansMq.Engine")]
    public void Package_can_be_trimmed(string assembly) => Assert.Contains(
        Assembly.Load(assembly).GetCustomAttributes<AssemblyMetadataAttribute>(),
        static metadata => metadata is { Key: "IsTrimmable", Value: "True" });
}
