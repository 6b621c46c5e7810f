// A page that has moved leads on to its new address, with the section that was asked for.
location.replace(document.querySelector("a").href + location.hash);
