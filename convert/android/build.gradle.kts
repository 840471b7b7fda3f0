plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "org.larqbcd"
    compileSdk = 35
    defaultConfig {
        minSdk = 24
        ndk { abiFilters += "arm64-v8a" }
    }
    externalNativeBuild { cmake { path = file("CMakeLists.txt") } }
}

dependencies {
    api("com.google.ai.edge.litert:litert:1.0.1")
}
