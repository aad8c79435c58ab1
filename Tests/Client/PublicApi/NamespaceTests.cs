using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.PublicApi;

/// <summary>What a user of the client names is in the namespaces OrleansMq and OrleansMq.Client.</summary>
public sealed class NamespaceTests
{
    // Descriptions that are read, and what transports and codecs of one's own name.
    private static readonly string[] Elsewhere =
    [
        "ClusterDescription", "CommittedOffset", "CompressionCodecs", "GroupDescription", "GroupListing", "IBroker",
        "IClusterAdministration", "TopicDescription", "TopicListing",
    ];

    [Fact]
    public void Types_of_everyday_use_are_in_two_namespaces()
    {
        var client = typeof(OrleansMqClient).Assembly;
        Type[] transports = [typeof(HttpBroker)];
        Assert.Equal(Elsewhere, client.GetExportedTypes().Except(transports).SelectMany(NamedBy).SelectMany(PartsOf)
            .Where(type => type.Assembly == typeof(IBroker).Assembly && type.Namespace != typeof(BrokerException).Namespace)
            .Select(static type => type.Name).Distinct().Order(StringComparer.Ordinal));
        Assert.All(client.GetExportedTypes(), static type => Assert.Contains(type.Namespace,
            (string[])["OrleansMq.Client", "Microsoft.Extensions.DependencyInjection"]));
    }

    private static IEnumerable<Type> NamedBy(Type type) => type.GetMembers().SelectMany(static member => member switch
    {
        PropertyInfo property => [property.PropertyType],
        FieldInfo field => [field.FieldType],
        MethodInfo method => method.GetParameters().Select(static parameter => parameter.ParameterType).Append(method.ReturnType),
        ConstructorInfo constructor => constructor.GetParameters().Select(static parameter => parameter.ParameterType),
        _ => (IEnumerable<Type>)[],
    });

    private static IEnumerable<Type> PartsOf(Type type) => type.HasElementType
        ? PartsOf(type.GetElementType()!)
        : type.GetGenericArguments().SelectMany(PartsOf).Append(type);
}
