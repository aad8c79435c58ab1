using System.Reflection;

namespace OrleansMq.Tests.Client.PublicApi;

/// <summary>The public API of the packages that need no Orleans is that of the text files beside this one.</summary>
public sealed class PublicApiTests
{
    [Theory]
    [InlineData("OrleansMq.Client")]
    [InlineData("OrleansMq.Client.OpenTelemetry")]
    [InlineData("OrleansMq.Compression")]
    [InlineData("OrleansMq.Engine")]
    [InlineData("OrleansMq.Testing")]
    public void Public_api_is_the_reviewed_one(string assembly) => Shared.PublicApi.Check(Assembly.Load(assembly));
}
